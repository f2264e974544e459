import pytest

from scorers.scorer import Verdict
from tests.support.judged import example, judged, span


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ('{"isError":true,"content":[{"type":"text","text":"no such city"}]}', "no such city"),
        ('{"type":"tool_result","is_error":true,"content":"timed out"}', "timed out"),
        ('{"error":{"message":"rate limited","code":429}}', "rate limited"),
        ('{"error":"not found"}', "not found"),
        ('{"success":false,"message":"card declined"}', "card declined"),
        ('{"status":"error","error":"boom"}', "boom"),
        ('{"ok":false}', "it says no more"),
        ('{"errors":[{"message":"bad field"}]}', "bad field"),
        ('{"result":{"isError":true,"content":"deep"}}', "deep"),
        ('"{\\"error\\":\\"quoted\\"}"', "quoted"),
        ("Error executing tool search: nothing there", "Error executing tool search: nothing there"),
        ("Traceback (most recent call last):\n  File", "Traceback (most recent call last):\n  File"),
    ],
)
async def test_a_result_that_tells_an_error_is_bad_and_the_reason_repeats_it(result: str, message: str) -> None:
    verdict = await judged("tool-error", span("tool", span_name="search", output=result))
    assert verdict == Verdict(value=0.0, measured=1, label="result", reason=f"search failed: {message}")


@pytest.mark.parametrize(
    "result",
    ['{"error":null,"rows":[1]}', '{"error":false}', '{"errors":[]}', '{"success":true}', "An error report for May: none", "",
     '{"status":"ok"}', '[{"title":"Error handling in Go"}]', '{"items":["Error: in a title"]}', "404 books found", "[1,2"],
)  # fmt: skip
async def test_a_result_that_only_speaks_of_errors_is_good(result: str) -> None:
    verdict = await judged("tool-error", span("tool", span_name="search", output=result))
    assert verdict == Verdict(value=1.0, measured=0, reason="search told no error")


async def test_the_status_and_the_exception_of_the_span_count_without_a_result() -> None:
    status = span("tool", numbers={"error": 1.0}, error_message="refused", attributes={"error.type": "ConnectionError"})
    exception = span("tool", numbers={"error": 0.0}, error_message="KeyError: 'id'")
    assert await judged("tool-error", status) == Verdict(
        value=0.0, measured=1, label="ConnectionError", reason="the tool failed: refused"
    )
    assert (await judged("tool-error", exception)).label == "exception"


async def test_with_result_off_only_the_span_is_read() -> None:
    assert (await judged("tool-error", span("tool", output='{"error":"x"}'), result=False)).value == 1.0


async def test_a_span_that_is_no_tool_is_skipped_with_the_filter_to_set() -> None:
    verdict = await judged("tool-error", span("llm", output='{"error":"x"}'))
    assert verdict == Verdict(skipped=True, reason="the span is of kind llm; use `online.filter: {kind: tool}`")


async def test_of_an_example_the_result_is_read_and_must_be_there() -> None:
    assert (await judged("tool-error", example(result={"error": "x"}), field="result")).value == 0.0
    assert (await judged("tool-error", example(result="x"))).skipped
