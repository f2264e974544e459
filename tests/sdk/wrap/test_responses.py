"""Responses of OpenAI's wrapped client."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from vedette.wrap import wrap

from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

CALLED = {"type": "tool_call", "id": "call_1", "name": "track", "arguments": {"parcel": "P7"}}
SAID = [{"role": "assistant", "parts": [{"type": "text", "content": "On its way."}], "finish_reason": "stop"}]


@pytest.fixture
def client(server: Provider, tracer: Any) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


def test_items_are_told_as_messages(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(
        Answer(servers.response(servers.THOUGHT_ITEM, servers.said_item("Looking."), servers.CALL_ITEM))
    )
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Where is P7?"}]},
        {"type": "function_call", "call_id": "call_1", "name": "track", "arguments": '{"parcel": "P7"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "in Bonn"},
    ]
    tools = [{"type": "function", "name": "track", "parameters": {"type": "object"}, "strict": True}]
    client.responses.create(
        model="gpt-5-mini",
        instructions="Be short.",
        input=items,
        tools=tools,
        conversation="conv_1",
        max_output_tokens=50,
    )
    told = tracer.one
    assert told.name == "chat gpt-5-mini"
    assert json.loads(told["system_instructions"]) == [{"type": "text", "content": "Be short."}]
    assert told.input == [
        {"role": "user", "parts": [{"type": "text", "content": "Where is P7?"}]},
        {"role": "assistant", "parts": [CALLED]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "in Bonn"}]},
    ]
    parts = [{"type": "reasoning", "content": "A parcel."}, {"type": "text", "content": "Looking."}, CALLED]
    assert told.output == [{"role": "assistant", "parts": parts, "finish_reason": "tool_calls"}]
    assert told.tokens == (30, 12, 7, 0, 6)
    assert (told["conversation.id"], told["request.max_tokens"]) == ("conv_1", 50)
    assert (told["openai.api.type"], told["response.id"]) == ("responses", "resp_1")
    assert json.loads(told["tool.definitions"])[0]["name"] == "track"


def test_a_text_is_the_users_message(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(servers.response()))
    client.responses.create(model="m", input="Where is P7?")
    assert tracer.one.input == [{"role": "user", "parts": [{"type": "text", "content": "Where is P7?"}]}]
    assert tracer.one.output == SAID


def test_parse(client: Any, server: Provider, tracer: Any) -> None:
    class Place(BaseModel):
        town: str

    server.answers_with(Answer(servers.response(servers.said_item('{"town": "Bonn"}'))))
    assert client.responses.parse(model="m", input="Where?", text_format=Place).output_parsed == Place(town="Bonn")
    assert tracer.one["output.type"] == "json"
    assert tracer.one.output[0]["parts"] == [{"type": "text", "content": '{"town": "Bonn"}'}]


def test_a_failed_response_fails_its_span(client: Any, server: Provider, tracer: Any) -> None:
    error = {"code": "server_error", "message": "overloaded"}
    server.answers_with(Answer(servers.response(status="failed", output=[], error=error)))
    client.responses.create(model="m", input="Where?")
    assert tracer.one.failed == "vedette.wrap.call.AnswerError"
    assert "server_error: overloaded" in (tracer.one.span.status.description or "")


def test_an_answer_that_was_too_long_says_so(client: Any, server: Provider, tracer: Any) -> None:
    details = {"reason": "max_output_tokens"}
    server.answers_with(Answer(servers.response(status="incomplete", incomplete_details=details)))
    client.responses.create(model="m", input="Where?")
    assert tracer.one["response.finish_reasons"] == ["length"]


def test_a_stream_is_told_by_its_last_event(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.RESPONSE_STREAM))
    kinds = [event.type for event in client.responses.create(model="m", input="Where?", stream=True)]
    assert kinds[-1] == "response.completed"
    assert tracer.one.output == SAID
    assert tracer.one.tokens == (30, 12, 7, 0, 6)
    assert tracer.one.failed is None


def test_a_stream_of_the_helper(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.RESPONSE_STREAM))
    with client.responses.stream(model="m", input="Where?") as stream:
        assert stream.get_final_response().output_text == "On its way."
    assert tracer.one.output == SAID


async def test_a_stream_read_asynchronously(server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.RESPONSE_STREAM))
    client = wrap(openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k"), tracer)
    async with client, client.responses.stream(model="m", input="Where?") as stream:
        assert (await stream.get_final_response()).output_text == "On its way."
    assert tracer.one.output == SAID


def test_a_torn_stream_tells_what_came(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.RESPONSE_STREAM[:5], cut="torn"))
    with pytest.raises(openai.APIConnectionError):
        list(client.responses.create(model="m", input="Where?", stream=True))
    told = tracer.one
    assert told.output[0]["parts"] == [{"type": "text", "content": "On its way."}]
    assert told.failed == "openai.APIConnectionError"
    assert told["response.model"] == "gpt-5-mini-2025-08-07"
