import pytest

from scorers.scorer import Verdict
from tests.support.judged import example, judged, span


@pytest.mark.parametrize("text", ["", " \n", "null", "None", "N/A", "[]", "{ }", "``", "-", "undefined", "NaN"])
async def test_what_is_written_instead_of_nothing_is_empty(text: str) -> None:
    verdict = await judged("not-empty", example(output=text))
    assert (verdict.value, verdict.reason) == (0.0, f"output is empty: {text.strip()!r}")


@pytest.mark.parametrize("text", ["0", "No", "none of them", "false", "[0]", "nullable"])
async def test_a_short_answer_is_not_empty(text: str) -> None:
    assert (await judged("not-empty", example(output=text))).value == 1.0


async def test_a_field_that_is_null_is_empty_and_one_that_is_absent_is_skipped() -> None:
    null = await judged("not-empty", example(output=None))
    absent = await judged("not-empty", example(request="a"))
    assert (null.value, null.skipped, absent.value, absent.skipped) == (0.0, False, None, True)


async def test_it_counts_characters_without_outer_white_space() -> None:
    assert await judged("not-empty", example(output="  four "), min_chars=5) == Verdict(
        value=0.0, measured=4, reason="output has 4 characters, fewer than 5"
    )


async def test_an_empty_message_is_empty_and_a_call_of_a_tool_is_not() -> None:
    empty = await judged("not-empty", span(output='[{"role":"assistant","parts":[{"type":"text","content":" "}]}]'))
    calls = await judged("not-empty", span(output='[{"role":"assistant","parts":[{"type":"tool_call","name":"f"}]}]'))
    assert (empty.value, calls.value, calls.reason) == (0.0, 1.0, "output calls 1 tools")
