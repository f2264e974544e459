import re
from pathlib import Path
from typing import get_args

from schemas.otlp.canonical import canonical
from schemas.otlp.dialects import DIALECTS, STANDARD_FIRST
from schemas.otlp.dialects.table import Dialect, Source
from schemas.otlp.raw import RawSpan
from schemas.otlp.tables import compiled
from schemas.span import Span, SpanKind

HELPERS = {
    "entity", "error_message", "error_type", "input_messages", "output_messages", "pending_parent", "request_model", "revision",
    "uncached_input_tokens", "visible_output_tokens",
}  # fmt: skip


def test_every_source_fills_a_field_of_a_span_or_helps_to_find_one() -> None:
    assert set(get_args(Source)) - HELPERS <= set(Span.model_fields)
    assert {field for d in DIALECTS for field in d.fields} <= set(get_args(Source))
    assert set(get_args(Source)) >= STANDARD_FIRST


def test_every_kind_is_one_of_ours_and_is_looked_up_in_lower_case() -> None:
    by_value = [pair for d in DIALECTS for kinds in d.kinds.values() for pair in kinds.items()]
    assert {kind for _, kind in by_value} | {k for d in DIALECTS for k in d.implied_kinds.values()} <= set(
        get_args(SpanKind)
    )
    assert all(value == value.lower() for value, _ in by_value)


def test_no_attribute_fills_one_field_twice() -> None:
    sources = [
        (field, attribute) for d in DIALECTS for field, attributes in d.fields.items() for attribute in attributes
    ]
    assert [source for source in sources if sources.count(source) > 1] == []


def test_a_dialect_is_added_by_one_table() -> None:
    mine = Dialect(
        name="mine", scopes=("my.scope",), fields={"input": ("my.input",), "agent": ("my.agent",)}, kinds={"my.kind": {"brain": "llm"}}
    )  # fmt: skip
    attributes = [("my.input", "hello"), ("my.agent", "A"), ("my.kind", "BRAIN"), ("gen_ai.input.messages", "[]")]
    raw = RawSpan("1" * 32, "1" * 16, "", "step", 0, 1000, 0, "", attributes, [], "my.scope", 0)  # type: ignore[arg-type]
    made = canonical(raw, tables=compiled((mine, *DIALECTS)))
    assert made == Span(
        span_id="1" * 16, name="step", duration_us=1, dialect="mine", kind="llm", agent="A", input="hello",
        attrs={"my.agent": "A", "my.kind": "BRAIN", "gen_ai.input.messages": "[]"},
    )  # fmt: skip


def test_the_page_of_the_dialects_has_a_row_for_each() -> None:
    page = (Path(__file__).parents[4] / "docs" / "dialects.md").read_text()
    table = page.partition("## What the spans become")[2].partition("## Tokens")[0]
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == {d.name for d in DIALECTS} - {""}
