"""What the captures do not show of the dialects that they are of."""

import orjson
import pytest

from schemas.otlp.canonical import canonical
from schemas.otlp.raw import RawSpan, Value
from schemas.span import Span


def made(attributes: dict[str, Value], scope: str = "", status: int = 0) -> Span:
    raw = RawSpan(
        "01" * 16, "02" * 8, "03" * 8, "call", 1_000_000, 2_000_000, status, "", list(attributes.items()), [], scope, 0
    )
    return canonical(raw)


@pytest.mark.parametrize(
    ("level", "status", "message"), [("ERROR", "error", "no stock"), ("WARNING", "unset", ""), ("DEFAULT", "unset", "")]
)
def test_only_langfuses_level_error_is_an_error(level: str, status: str, message: str) -> None:
    span = made({"langfuse.observation.level": level, "langfuse.observation.status_message": "no stock"})
    assert (span.dialect, span.status, span.status_message) == ("", status, message)


@pytest.mark.parametrize("name", ["support-bot", '"support-bot"'])
def test_langfuses_metadata_may_stand_in_the_quotes_of_json(name: str) -> None:
    span = made({"langfuse.observation.type": "chain", "langfuse.observation.metadata.lc_agent_name": name})
    assert (span.dialect, span.kind, span.agent) == ("langfuse", "chain", "support-bot")


def test_langfuses_own_counts_leave_out_the_cache_and_the_reasoning() -> None:
    usage = {
        "input": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "output": 7,
        "output_reasoning": 2,
    }
    span = made(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.usage_details": orjson.dumps(usage).decode(),
            "langfuse.observation.cost_details": '{"input":0.25,"total":0.75}',
        }
    )
    assert (span.input_tokens, span.cached_input_tokens, span.cache_write_input_tokens) == (18, 5, 3)
    assert (span.output_tokens, span.reasoning_output_tokens, span.cost_usd) == (9, 2, 0.75)


@pytest.mark.parametrize("usage", ["", "{", "[1]", "null", '{"input":"many"}', '{"input":{"a":1}}'])
def test_usage_that_cannot_be_read_says_nothing(usage: str) -> None:
    span = made({"langfuse.observation.type": "generation", "langfuse.observation.usage_details": usage})
    assert (span.input_tokens, span.output_tokens, span.cost_usd) == (None, None, None)


def test_logfires_placeholder_is_partial_and_stands_for_the_span_that_it_names_as_its_parent() -> None:
    span = made({"logfire.span_type": "pending_span", "logfire.pending_parent_id": "04" * 8, "session_id": "s"})
    assert (span.partial, span.span_id, span.parent_span_id, span.session_id) == (True, "03" * 8, "04" * 8, "s")


def test_a_session_that_logfire_scrubbed_is_none_and_its_plain_names_come_last() -> None:
    scrubbed: dict[str, Value] = {
        "logfire.span_type": "span",
        "session_id": "[Scrubbed due to 'session']",
        "group_id": "g",
    }
    assert made(scrubbed).session_id == "g"
    assert made({**scrubbed, "gen_ai.conversation.id": "c"}).session_id == "c"
    tool: dict[str, Value] = {
        "gen_ai.tool.name": "look_up",
        "name": "other",
        "gen_ai.tool.call.arguments": "{}",
        "input": "i",
    }
    assert (made(tool).tool_name, made(tool).input) == ("look_up", "{}")


def test_the_first_format_of_pydantic_ai_keeps_its_messages_in_a_list_of_events() -> None:
    told = [
        {"event.name": "gen_ai.user.message", "role": "user", "content": "Hi"},
        {"event.name": "gen_ai.assistant.message", "role": "assistant", "content": "Hello"},
    ]
    span = made({"all_messages_events": orjson.dumps(told).decode(), "agent_name": "greeter"}, scope="pydantic-ai")
    assert (span.dialect, span.agent) == ("pydantic-ai", "greeter")
    assert (span.input, span.output, span.attrs) == (
        '[{"role":"user","content":"Hi"}]',
        '[{"role":"assistant","content":"Hello"}]',
        {"agent_name": "greeter"},
    )


@pytest.mark.parametrize(
    ("sent", "provider"),
    [
        ("openai.responses", "openai"),
        ("azure.chat", "azure.ai.openai"),
        ("anthropic.messages", "anthropic"),
        ("acme", "acme"),
    ],
)
def test_vercels_providers_are_the_standards(sent: str, provider: str) -> None:
    operation = "ai.generateObject.doGenerate"
    span = made({"ai.operationId": operation, "ai.model.provider": sent, "ai.response.object": '{"a":1}'}, scope="ai")
    assert (span.kind, span.operation, span.provider, span.output) == ("llm", operation, provider, '{"a":1}')
