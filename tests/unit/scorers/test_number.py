from typing import Any

import pytest

from scorers.scorer import Verdict
from tests.support.judged import example, judged, span

REFUND = {"refund": {"amount": "12.50", "note": "ok", "paid": True, "lines": [{"n": 1}, {"n": -2}]}}


@pytest.mark.parametrize(("number", "value"), [(0, 1.0), (10, 1.0), (-0.1, 0.0), (10.1, 0.0)])
async def test_both_ends_belong_to_the_range(number: float, value: float) -> None:
    assert (await judged("number", example(output=number), min=0, max=10)).value == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It costs $1,234.50 today", 1234.5),
        ("-3", -3),
        ("1e3", 1000),
        ("about 7%", 7),
        ("v2 has 3 parts", 3),
        ("20,5", 20),
    ],
)
async def test_in_words_it_is_the_first_number(text: str, number: float) -> None:
    assert (await judged("number", example(output=text), min=0)).measured == number


@pytest.mark.parametrize(
    ("path", "number"), [("refund.amount", 12.5), ("refund.lines[1].n", -2), ("refund.lines.0.n", 1)]
)
async def test_a_path_leads_into_the_json_of_a_field(path: str, number: float) -> None:
    verdict = await judged("number", example(output=REFUND), path=path, min=0)
    assert (verdict.measured, verdict.value) == (number, float(number >= 0))
    assert verdict.reason == f"output at {path} is {number:g}, {'' if number >= 0 else 'not '}at least 0"


@pytest.mark.parametrize(
    ("path", "why"),
    [("refund.amuont", "it is absent"), ("refund.note", "it is a text"), ("refund.paid", "it is a truth value"),
     ("refund.lines", "it is an array"), ("refund.lines[2].n", "it is absent"), ("refund", "it is an object")],
)  # fmt: skip
async def test_where_no_number_stands_it_is_skipped_with_the_reason(path: str, why: str) -> None:
    verdict = await judged("number", example(output=REFUND), path=path, min=0)
    assert verdict == Verdict(skipped=True, reason=f"output has no number at {path!r}: {why}")


async def test_words_without_a_number_and_a_missing_field_are_skipped() -> None:
    words = await judged("number", example(output="none at all"), min=0)
    missing = await judged("number", example(request="1"), min=0)
    assert words == Verdict(skipped=True, reason="output has no number: there is none")
    assert missing.reason.startswith("the example has no 'output'; ")


async def test_a_span_has_numbers_of_its_own() -> None:
    told = await judged("number", span(numbers={"tokens": 900.0}), number="tokens", max=500)
    missing = await judged("number", span(dialect="vercel"), number="tokens", max=500)
    assert told == Verdict(value=0.0, measured=900, reason="tokens is 900, not at most 500")
    assert "the AI SDK puts tokens on" in missing.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "give `min`, `max` or both"),
        ({"min": 3, "max": 2}, "`min` 3 is more than `max` 2: nothing could pass"),
        ({"max": 2, "number": "tokens", "path": "a"}, "`path` is a place in a field's JSON; leave it or `number` out"),
        ({"max": 2, "number": "token"}, "with.number: Input should be 'duration_ms', "),
    ],
)
async def test_a_range_that_makes_no_sense_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        await judged("number", example(output=1), **settings)
    assert reason in str(refused.value)
