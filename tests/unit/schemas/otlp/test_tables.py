from typing import get_args

from schemas.otlp.canonical import canonical
from schemas.otlp.dialects import DIALECTS, STANDARD_FIRST
from schemas.otlp.dialects.table import Dialect, Source
from schemas.otlp.raw import RawSpan
from schemas.otlp.tables import TABLES, compiled
from schemas.span import Span, SpanKind

HELPERS = {"error_type", "pending_parent", "request_model", "revision", "uncached_input_tokens"}


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
    for attribute, targets in TABLES.targets.items():
        fields = [target.field for target in targets if target.field != "kind"]
        assert len(fields) == len(set(fields)), attribute


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
