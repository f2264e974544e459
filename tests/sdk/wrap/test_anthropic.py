"""Anthropic's client, wrapped."""

import json
from typing import Any

import anthropic
import pytest
from vedette.wrap import wrap

from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

ASKED: Any = [{"role": "user", "content": "Where is my parcel?"}]
TEXT = {"type": "text", "content": "On its way."}
CALLED = {"type": "tool_call", "id": "toolu_1", "name": "track", "arguments": {"parcel": "P7"}}


@pytest.fixture
def client(server: Provider, tracer: Any) -> Any:
    with anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


@pytest.fixture
async def async_client(server: Provider, tracer: Any) -> Any:
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


def test_tells_what_was_asked_and_answered(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.claude(servers.THINKING, {"type": "text", "text": "Looking."}, servers.TOOL_USE))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Where?"}, image]},
        {"role": "assistant", "content": [servers.TOOL_USE]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "in Bonn"}]},
    ]
    tools = [{"name": "track", "description": "d", "input_schema": {"type": "object"}}]
    client.messages.create(
        model="claude-next",
        max_tokens=64,
        system="Be short.",
        messages=messages,
        tools=tools,
        extra_body={"top_k": 3},
    )
    told = tracer.one
    assert (told.name, told["provider.name"]) == ("chat claude-next", "anthropic")
    assert (told["request.max_tokens"], told["request.top_k"]) == (64, 3)
    assert json.loads(told["system_instructions"]) == [{"type": "text", "content": "Be short."}]
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 100}
    assert told.input == [
        {"role": "user", "parts": [{"type": "text", "content": "Where?"}, blob]},
        {"role": "assistant", "parts": [CALLED]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "toolu_1", "response": "in Bonn"}]},
    ]
    parts = [{"type": "reasoning", "content": "A parcel."}, {"type": "text", "content": "Looking."}, CALLED]
    assert told.output == [{"role": "assistant", "parts": parts, "finish_reason": "end_turn"}]
    assert told["response.model"] == "claude-sonnet-4-5-20250929"
    assert json.loads(told["tool.definitions"])[0]["parameters"] == {"type": "object"}


def test_counts_cached_tokens_as_input(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.claude())
    client.messages.create(model="m", max_tokens=64, messages=ASKED)
    assert tracer.one.tokens == (130, 8, 100, 20, 3)


def test_counting_tokens_is_no_call_of_a_model(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer({"input_tokens": 3}))
    assert client.messages.count_tokens(model="m", messages=ASKED).input_tokens == 3
    assert tracer.ended == []


def test_beta_messages(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.claude())
    client.beta.messages.create(model="m", max_tokens=64, messages=ASKED)
    assert tracer.one.output[0]["parts"] == [TEXT]


async def test_asynchronously(async_client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.claude())
    await async_client.messages.create(model="m", max_tokens=64, messages=ASKED)
    assert tracer.one.output[0]["parts"] == [TEXT]


def test_a_stream(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CLAUDE_STREAM))
    stream = client.messages.create(model="m", max_tokens=64, messages=ASKED, stream=True)
    assert type(stream) is anthropic.Stream
    assert [event.type for event in stream][-1] == "message_stop"
    told = tracer.one
    assert told.output == [{"role": "assistant", "parts": [TEXT, CALLED], "finish_reason": "tool_use"}]
    assert told.tokens == (130, 8, 100, 20, 3)
    assert told["response.time_to_first_chunk"] > 0
    assert told.failed is None


def test_a_stream_of_the_helper(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CLAUDE_STREAM))
    with client.messages.stream(model="m", max_tokens=64, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == "On its way."
        assert stream.get_final_message().stop_reason == "tool_use"
    assert tracer.one.output[0]["parts"] == [TEXT, CALLED]


async def test_a_stream_of_the_asynchronous_helper(async_client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CLAUDE_STREAM))
    async with async_client.messages.stream(model="m", max_tokens=64, messages=ASKED) as stream:
        assert [text async for text in stream.text_stream] == ["On its", " way."]
    assert tracer.one.output[0]["parts"] == [TEXT, CALLED]


def test_a_torn_stream_tells_what_came(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CLAUDE_STREAM[:8], cut="torn"))
    with pytest.raises(Exception, match="closed") as caught:
        list(client.messages.create(model="m", max_tokens=64, messages=ASKED, stream=True))
    told = tracer.one
    assert told.output[0]["parts"] == [TEXT, {**CALLED, "arguments": '{"parcel"'}]
    assert told.failed == f"{type(caught.value).__module__}.{type(caught.value).__qualname__}"
    assert told.tokens[0] == 130


def test_a_stream_that_ends_too_early_tells_what_came(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CLAUDE_STREAM[:5], cut="clean"))
    list(client.messages.create(model="m", max_tokens=64, messages=ASKED, stream=True))
    assert tracer.one.output[0]["parts"] == [TEXT]
    assert tracer.one.failed == "vedette.wrap.call.StreamCutError"


def test_an_error_within_a_stream(client: Any, server: Provider, tracer: Any) -> None:
    failed = ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    server.answers_with(Answer(events=(*servers.CLAUDE_STREAM[:4], failed)))
    with pytest.raises(anthropic.APIStatusError):
        list(client.messages.create(model="m", max_tokens=64, messages=ASKED, stream=True))
    assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]
    assert tracer.one.failed is not None
