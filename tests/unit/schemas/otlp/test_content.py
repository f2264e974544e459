"""What log events tell of a span's content, in all the forms in which instrumentations put it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.otlp.content import DETAILS, content_events, is_content, message, told_in_logs
from schemas.otlp.cut import TEXT_LIMIT
from schemas.otlp.decode import decode_logs
from schemas.otlp.raw import RawLog, RawSpan, Value
from schemas.span import Span

RECORDED = Path(__file__).parents[3] / "fixtures/otlp/opentelemetry-instrumentation-openai-v2-2.4b0"
TRACE, SPAN = "ab" * 16, "cd" * 8
SCOPE = "opentelemetry.instrumentation.openai_v2"
CALL = {"type": "tool_call", "id": "c1", "name": "lookup", "arguments": {"order": 17}}


def log(name: str, body: Value, time_ns: int = 5, **attributes: Value) -> RawLog:
    return RawLog(TRACE, SPAN, name, time_ns, body, [(key.replace("__", "."), v) for key, v in attributes.items()])


def span_of(scope: str) -> RawSpan:
    return RawSpan(TRACE, SPAN, "", "chat", 1, 2, 0, "", [], [], scope, 0)


@pytest.mark.parametrize(
    ("body", "role", "said"),
    [
        ({"content": "hello"}, "user", {"role": "user", "parts": [{"type": "text", "content": "hello"}]}),
        ("hello", "user", {"role": "user", "parts": [{"type": "text", "content": "hello"}]}),
        ('{"content": "hello"}', "user", {"role": "user", "parts": [{"type": "text", "content": "hello"}]}),
        ({"content": "be kind", "role": "developer"}, "system", {"role": "developer", "parts": [{"type": "text", "content": "be kind"}]}),
        ({"content": [{"type": "text", "text": "see"}, {"type": "image_url"}]}, "user", {"role": "user", "parts": [{"type": "text", "content": "see"}, {"type": "image_url"}]}),
        ({"content": {"role": "user", "parts": [{"text": "hi"}]}}, "user", {"role": "user", "parts": [{"type": "text", "content": "hi"}]}),
        ({"id": "c1", "content": "on its way"}, "tool", {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "on its way"}]}),
        ({"id": "c1"}, "tool", {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1"}]}),
        ({"tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": '{"order": 17}'}}]}, "assistant", {"role": "assistant", "parts": [CALL]}),
        ({"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}, "assistant", {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}),
        ({"message": {"tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": "{"}}]}}, "assistant", {"role": "assistant", "parts": [{**CALL, "arguments": "{"}]}),
        (None, "user", {"role": "user", "parts": []}),
        ({"content": "", "tool_calls": 3.5} , "user", {"role": "user", "parts": []}),
    ],
)  # fmt: skip
def test_a_body_becomes_a_message_of_the_newer_form(body: Value, role: str, said: dict[str, Any]) -> None:
    assert message(body, role) == said


def test_a_message_tells_its_side_with_its_time_and_its_place_in_the_export() -> None:
    (trace, question), (_, answer) = content_events([log("gen_ai.user.message", "a"), log("gen_ai.choice", "b", 2**64)])
    assert (trace, question.span_id, question.time, question.position, question.output) == (TRACE, SPAN, 5, 0, None)
    assert (answer.position, answer.input, answer.time) == (1, None, 2**63 - 1)
    assert orjson.loads(answer.output or "")["parts"] == [{"type": "text", "content": "b"}]


def test_what_nests_too_deep_is_told_as_text() -> None:
    deep = "[" * 500 + "]" * 500
    body: Value = {"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": deep}}]}
    ((_, event),) = content_events([log("gen_ai.assistant.message", body)])
    assert deep in orjson.loads(event.input or "")["parts"][0]["content"]


@pytest.mark.parametrize("in_body", [False, True])
def test_one_event_tells_everything_by_its_attributes_or_its_body(in_body: bool) -> None:
    both: dict[str, Value] = {
        "gen_ai.input.messages": '[{"role":"user"}]',
        "gen_ai.output.messages": '[{"role":"assistant"}]',
    }
    sent = log(DETAILS, both) if in_body else RawLog(TRACE, SPAN, DETAILS, 5, None, list(both.items()))
    ((_, event),) = content_events([sent])
    assert (event.input, event.output, event.whole, event.silent) == (*both.values(), True, False)


def test_without_capture_messages_are_there_and_say_nothing() -> None:
    def silent(run: str) -> set[bool]:
        events = content_events(decode_logs((RECORDED / f"{run}.logs.pb").read_bytes()))
        return {event.silent for _, event in events}

    assert silent("agent-default-1") == {True}
    assert silent("agent-content-old-1") == silent("agent-content-new-1") == {False}
    ((_, nothing),) = content_events([log(DETAILS, None)])
    assert (nothing.silent, nothing.whole) == (True, True)


def test_secrets_are_masked_and_long_texts_cut() -> None:
    key = "sk-proj-" + "a1B2" * 12
    ((_, event),) = content_events([log("gen_ai.user.message", f"my key is {key} " + "x" * 2 * TEXT_LIMIT)])
    assert event.input is not None
    assert key not in event.input
    assert len(event.input) < TEXT_LIMIT + 200


def test_other_events_tell_no_content() -> None:
    assert is_content("gen_ai.choice")
    assert is_content(DETAILS)
    assert not is_content("gen_ai.evaluation.result")
    assert list(content_events([log("gen_ai.evaluation.result", "x"), log("exception", "y")])) == []


@pytest.mark.parametrize(
    ("scope", "changed", "waits"),
    [
        (SCOPE, {}, True),
        ("opentelemetry.instrumentation.genai.openai", {}, True),
        ("io.opentelemetry.openai-java-1.1", {}, True),
        ("opentelemetry.instrumentation.anthropic", {}, False),
        (SCOPE, {"kind": "tool"}, False),
        (SCOPE, {"input": "said"}, False),
        (SCOPE, {"output": "said"}, False),
        (SCOPE, {"partial": True}, False),
    ],
)
def test_only_a_finished_call_of_a_known_scope_that_says_nothing_waits(
    scope: str, changed: dict[str, object], waits: bool
) -> None:
    span = Span.model_validate({"span_id": SPAN, "kind": "llm", **changed})
    assert told_in_logs(span_of(scope), span) is waits
