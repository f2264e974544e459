"""Each example document of docs/scorers.md is what it says: it can be applied, and it judges."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from schemas.documents.scorer import Scorer
from schemas.subject import Subject
from scorers.registry import TYPES, build
from streams.document_files import parse
from streams.documents import check
from tests.support.judged import span

PAGE = (Path(__file__).parents[3] / "docs" / "scorers.md").read_text()
EXAMPLES = dict(re.findall(r"^## `([\w-]+)`\n.*?```yaml\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
QUOTE = '{"items":[{"price":%s}]}'
SUBJECTS: dict[str, tuple[Subject, Subject]] = {
    "contains": (span(output="Your parcel is late"), span(output="Hello")),
    "cost": (span(numbers={"cost_usd": 0.05}), span(numbers={"cost_usd": 0.06})),
    "json-schema": (span(output=QUOTE % 3), span(output=QUOTE % -3)),
    "language": (
        span(input="Where is my parcel?", output="It is on its way to you."),
        span(input="Where is my parcel?", output="Ihr Paket ist unterwegs zu Ihnen."),
    ),
    "latency": (span(numbers={"duration_ms": 3000.0}), span(numbers={"duration_ms": 3001.0})),
    "not-empty": (span(output="It arrives on Monday."), span(output="OK")),
    "number": (span("tool", output='{"refund":{"amount":200}}'), span("tool", output='{"refund":{"amount":201}}')),
    "pii": (span(output="Write to help@shop.example"), span(output="Write to jane@mail.example")),
    "refusal": (span(output="Sure, here it is."), span(output="Please contact a lawyer.")),
    "regex": (span(output="It usually takes a week."), span(output="Guaranteed by Monday!")),
    "tool-error": (span("tool", output="42"), span("tool", output='{"error":"no"}')),
}
"""A good subject and a bad one for each."""


@pytest.mark.parametrize("kind", TYPES)
async def test_the_example_of_each_type_can_be_applied_and_tells_good_from_bad(kind: str) -> None:
    (source,) = parse(EXAMPLES[kind], "scorers.md")
    document = check(source.data())
    assert isinstance(document, Scorer)
    assert document.spec.type == kind
    scorer = build(document.spec)
    assert [(await scorer.judge(subject)).value for subject in SUBJECTS[kind]] == [1.0, 0.0]
    skipped = await scorer.judge(span("tool" if kind == "tool-error" else "llm"))
    assert skipped.skipped or kind == "tool-error"


@pytest.mark.parametrize("kind", TYPES)
def test_the_page_tells_the_default_of_every_setting(kind: str) -> None:
    section = PAGE.partition(f"\n## `{kind}`\n")[2].partition("\n## ")[0]
    told = dict(re.findall(r"`(\w+)` \(default `?([^)`]*)`?\)", section))
    required = re.findall(r"^- `(\w+)`: .*required$", section, re.MULTILINE)
    schema = TypeAdapter(TYPES[kind]).json_schema()
    optional = {key: _word(field["default"]) for key, field in schema["properties"].items() if key not in required}
    assert sorted(required) == sorted(schema.get("required", []))
    assert told == optional


def _word(default: object) -> str:
    """A default as the page writes it."""
    if default is None:
        return "none"
    if isinstance(default, list) and len(default) > 1:
        return "all"
    return str(default).lower() or "empty"
