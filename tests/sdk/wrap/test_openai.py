"""OpenAI's client, wrapped."""

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from vedette.wrap import wrap

from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

ASKED = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where is my parcel?"}]
SAID = [{"role": "assistant", "parts": [{"type": "text", "content": "On its way."}], "finish_reason": "stop"}]
TOOL = {"type": "function", "function": {"name": "track", "description": "d", "parameters": {"type": "object"}}}


@pytest.fixture
def client(server: Provider, tracer: Any) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


@pytest.fixture
async def async_client(server: Provider, tracer: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


class TestChat:
    def test_tells_what_was_asked_and_answered(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        answer = client.chat.completions.create(
            model="gpt-5-mini",
            messages=ASKED,
            temperature=0.2,
            max_completion_tokens=99,
            stop="END",
            seed=7,
            tools=[TOOL],
        )
        assert answer.choices[0].message.content == "On its way."
        told = tracer.one
        assert told.name == "chat gpt-5-mini"
        assert (told["operation.name"], told["provider.name"]) == ("chat", "openai")
        assert (told["request.model"], told["response.model"]) == ("gpt-5-mini", "gpt-5-mini-2025-08-07")
        assert (told["request.temperature"], told["request.max_tokens"], told["request.seed"]) == (0.2, 99, 7)
        assert told["request.stop_sequences"] == ["END"]
        assert told.input == [
            {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Where is my parcel?"}]},
        ]
        assert told.output == SAID
        assert (told["response.id"], told["response.finish_reasons"]) == ("chatcmpl-1", ["stop"])
        assert told.tokens == (21, 9, 5, 2, 4)
        assert json.loads(told["tool.definitions"]) == [
            {"type": "function", "name": "track", "description": "d", "parameters": {"type": "object"}}
        ]
        assert told["server.address"] == "127.0.0.1"

    def test_tells_calls_of_tools_and_their_answers(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat(None, calls=(servers.call(),)))
        asked = [
            {"role": "assistant", "tool_calls": [servers.call()]},
            {"role": "tool", "tool_call_id": "call_1", "content": "in Bonn"},
        ]
        client.chat.completions.create(model="m", messages=asked)
        called = {"type": "tool_call", "id": "call_1", "name": "track", "arguments": {"parcel": "P7"}}
        assert tracer.one.input == [
            {"role": "assistant", "parts": [called]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "in Bonn"}]},
        ]
        assert tracer.one.output == [{"role": "assistant", "parts": [called], "finish_reason": "tool_calls"}]

    def test_keeps_images_out_of_spans(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        content = [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ]
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}])
        assert tracer.one.input[0]["parts"] == [
            {"type": "text", "content": "What is it?"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 1022},
            {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        ]

    def test_parses(self, client: Any, server: Provider, tracer: Any) -> None:
        class Place(BaseModel):
            town: str

        server.answers_with(servers.chat('{"town": "Bonn"}'))
        answer = client.chat.completions.parse(model="m", messages=ASKED, response_format=Place)
        assert answer.choices[0].message.parsed == Place(town="Bonn")
        assert tracer.one["output.type"] == "json"
        assert tracer.one.output[0]["parts"] == [{"type": "text", "content": '{"town": "Bonn"}'}]

    def test_reads_messages_of_an_iterator_once(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        client.chat.completions.create(model="m", messages=(one for one in ASKED))
        assert server.seen[0]["messages"] == ASKED
        assert len(tracer.one.input) == 2

    async def test_asynchronously(self, async_client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        answer = await async_client.chat.completions.create(model="gpt-5-mini", messages=ASKED)
        assert answer.choices[0].message.content == "On its way."
        assert tracer.one.output == SAID


class TestStream:
    def test_tells_all_chunks_as_one_answer(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert tracer.ended == []
        assert type(stream) is openai.Stream
        words = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
        assert words == ["", "On its", " way.", None]
        told = tracer.one
        assert told.output == SAID
        assert told.tokens == (21, 9, 5, 2, 4)
        assert told["request.stream"] is True
        assert 0 < told["response.time_to_first_chunk"] < 10
        assert told.failed is None

    def test_joins_the_pieces_of_calls(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CALL_STREAM))
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
        assert tracer.one.output[0]["parts"] == [
            {"type": "tool_call", "id": "call_1", "name": "track", "arguments": {"parcel": "P7"}},
            {"type": "tool_call", "id": "call_2", "name": "notify", "arguments": {}},
        ]

    async def test_asynchronously(self, async_client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        stream = await async_client.chat.completions.create(model="m", messages=ASKED, stream=True)
        assert type(stream) is openai.AsyncStream
        assert len([chunk async for chunk in stream]) == 5
        assert tracer.one.output == SAID

    def test_of_the_helper(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        with client.chat.completions.stream(model="m", messages=ASKED) as stream:
            kinds = [event.type for event in stream]
            assert stream.get_final_completion().choices[0].message.content == "On its way."
        assert "content.delta" in kinds
        assert tracer.one.output == SAID
        assert tracer.one.failed is None


def test_embeddings(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.EMBEDDED)
    client.embeddings.create(model="text-embedding-3-small", input=["parcel", "letter"])
    told = tracer.one
    assert told.name == "embeddings text-embedding-3-small"
    assert json.loads(told["vedette.input"]) == ["parcel", "letter"]
    assert (told["usage.input_tokens"], told["embeddings.dimension.count"]) == (4, 3)
