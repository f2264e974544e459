from typing import Any

import orjson
import pytest

from schemas.otlp.cut import cut_text
from scorers.scorer import Verdict
from tests.support.judged import example, judged, span

PRICES = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"items": {"properties": {"price": {"minimum": 0}}}}},
}


async def test_json_that_satisfies_the_schema_is_good() -> None:
    verdict = await judged("json-schema", example(output='{"items":[{"price":3}]}'), schema=PRICES)
    assert verdict == Verdict(value=1.0, measured=0, reason="output satisfies the schema")


async def test_the_reason_names_the_place_of_each_violation_up_to_three() -> None:
    one = await judged("json-schema", example(output='{"items":[{"price":3},{"price":-1}]}'), schema=PRICES)
    many = await judged(
        "json-schema", example(output=orjson.dumps({"items": [{"price": -1}] * 500}).decode()), schema=PRICES
    )
    top = await judged("json-schema", example(output="{}"), schema=PRICES)
    assert one == Verdict(
        value=0.0, measured=1, reason="output breaks the schema at /items/1/price: -1 is less than the minimum of 0"
    )
    assert many.measured == 100
    assert many.reason.endswith("; and 97 more")
    assert top.reason == 'output breaks the schema at the top: "items" is a required property'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Here you are", "at line 1 column 1"),
        ('{"a":\n1,}', "at line 2 column 2"),
        ('```json\n{"a":1}\n```', "at line 1 column 1; it is wrapped in a ``` fence"),
        ("", "at line 1 column 1"),
        ("[1e400]", "at line 1 column"),
        ("[" * 2000, "at line 1 column"),
    ],
)
async def test_what_is_no_json_is_bad_and_the_reason_tells_where(text: str, why: str) -> None:
    verdict = await judged("json-schema", example(output=text), schema=True)
    assert (verdict.value, verdict.measured) == (0.0, 1)
    assert verdict.reason.startswith("output is no JSON: ")
    assert why in verdict.reason


async def test_the_draft_is_the_one_that_the_schema_names() -> None:
    """In draft 4 `exclusiveMinimum` is a truth value, in later ones a number."""
    schema = {"minimum": 3, "exclusiveMinimum": True}
    named = {"$schema": "http://json-schema.org/draft-04/schema#", **schema}
    assert (await judged("json-schema", example(output="3"), schema=named)).value == 0.0
    assert (await judged("json-schema", example(output="4"), schema=named)).value == 1.0
    with pytest.raises(ValueError, match='at /exclusiveMinimum: true is not of type "number"'):
        await judged("json-schema", example(output="3"), schema=schema)


async def test_an_answer_in_an_envelope_is_judged_by_its_words() -> None:
    answer = '[{"role":"assistant","parts":[{"type":"text","content":"{\\"items\\":[]}"}]}]'
    assert (await judged("json-schema", span(output=answer), schema=PRICES)).value == 1.0


async def test_json_that_was_cut_because_it_was_too_long_is_skipped() -> None:
    text, cut = cut_text(f'["{"a" * 5000}"]', 1000)
    assert cut
    verdict = await judged("json-schema", span(output=text), schema=PRICES)
    assert verdict == Verdict(skipped=True, reason="output was cut: it was longer than is stored")


async def test_an_answer_that_only_calls_tools_is_skipped() -> None:
    answer = '[{"role":"assistant","parts":[{"type":"tool_call","name":"f","arguments":{}}]}]'
    verdict = await judged("json-schema", span(output=answer), schema=PRICES)
    assert verdict == Verdict(skipped=True, reason="output has no text: it calls 1 tools")


async def test_json_that_nests_too_deep_to_be_compared_is_bad() -> None:
    verdict = await judged("json-schema", example(output="[" * 900 + "]" * 900), schema={"items": {"type": "number"}})
    assert (verdict.value, verdict.measured) == (0.0, 1)
    assert verdict.reason.startswith("output cannot be compared with the schema: ")


async def test_a_pattern_of_the_schema_cannot_hold_the_worker() -> None:
    backtracks = {"type": "string", "pattern": "^(?=a)(a|aa|a?)+$"}
    verdict = await judged("json-schema", example(output='"%s!"' % ("a" * 5000)), schema=backtracks)
    assert verdict.value == 0.0


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "objekt"}, 'at /type: "objekt" is not valid'),
        ({"$ref": "http://127.0.0.1:9/s.json"}, "cannot fetch http://127.0.0.1:9/s.json"),
        ({"$ref": "file:///etc/hostname"}, "cannot fetch file:///etc/hostname"),
        ({"$schema": "http://shop.example/draft"}, "Unknown meta-schema"),
        ({"pattern": "("}, 'at /pattern: "(" is not a "regex"'),
    ],
)
async def test_a_schema_that_is_none_or_would_be_fetched_is_refused_when_the_document_is_read(schema: dict[str, Any], reason: str) -> None:  # fmt: skip
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        await judged("json-schema", example(output="{}"), schema=schema)
    assert str(refused.value).startswith("json-schema: with: no JSON Schema: ")
    assert reason in str(refused.value)
