import asyncio
import time

import pytest
from pydantic import ValidationError

from schemas.subject import Subject
from scorers.regex import Regex
from scorers.scorer import Verdict

CATASTROPHIC = "(a|aa|a?)+$"


def subject(text: str) -> Subject:
    return Subject(project="p", kind="example", subject_id="e", fields=b'{"output":"%s"}' % text.encode())


@pytest.mark.parametrize(
    ("scorer", "verdict"),
    [
        (Regex(r"\d+"), Verdict(value=1.0, measured=2, reason="output matches '12'")),
        (Regex(r"\d+", forbidden=True), Verdict(value=0.0, measured=2, reason="output matches '12'")),
        (Regex("ORDER"), Verdict(value=0.0, measured=0, reason="output does not match 'ORDER'")),
        (Regex("ORDER", ignore_case=True), Verdict(value=1.0, measured=1, reason="output matches 'order'")),
        (Regex("x", forbidden=True), Verdict(value=1.0, measured=0, reason="output does not match 'x'")),
        (Regex("$"), Verdict(value=1.0, measured=1, reason="output matches ''")),
    ],
)
async def test_it_counts_where_the_pattern_is_found(scorer: Regex, verdict: Verdict) -> None:
    assert await scorer.judge(subject("order 12 of 34")) == verdict


async def test_it_counts_to_a_thousand_and_quotes_a_hundred_characters() -> None:
    many = await Regex("a").judge(subject("a" * 5000))
    long = await Regex("a+").judge(subject("a" * 5000))
    assert (many.measured, long.reason) == (1000, f"output matches {'a' * 100!r}")


async def test_a_missing_field_is_skipped() -> None:
    verdict = await Regex("a", field="other").judge(subject("a"))
    assert (verdict.skipped, verdict.value) == (True, None)


async def test_a_catastrophic_pattern_times_out_with_the_reason() -> None:
    with pytest.raises(TimeoutError, match=r"'\(a\|aa\|a\?\)\+\$' needs more than 0.1 s on this text"):
        await Regex(CATASTROPHIC, seconds=0.1).judge(subject("a" * 60 + "!"))


async def test_while_a_catastrophic_pattern_runs_others_are_judged() -> None:
    slow = asyncio.ensure_future(Regex(CATASTROPHIC, seconds=0.5).judge(subject("a" * 60 + "!")))
    await asyncio.sleep(0.05)  # it goes on in its thread
    begun = time.monotonic()
    for _ in range(10):
        await Regex("a").judge(subject("aaa"))
    assert time.monotonic() - begun < 0.4
    assert not slow.done()
    with pytest.raises(TimeoutError):
        await slow


def test_a_pattern_that_is_none_is_refused_when_the_document_is_read() -> None:
    with pytest.raises(ValidationError, match=r"'\(' is no regular expression: missing \)"):
        Regex("(")
