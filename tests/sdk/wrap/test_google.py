"""Google's client of Gemini, wrapped."""

import inspect
import json
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from vedette.wrap import wrap

from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

TEXT = {"type": "text", "content": "On its way."}

own_session = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest.fixture
def client(server: Provider, tracer: Any) -> Any:
    made = genai.Client(api_key="k", http_options={"base_url": server.url})
    yield wrap(made, tracer)
    made.close()


def test_tells_what_was_asked_and_answered(client: Any, server: Provider, tracer: Any) -> None:
    called = {"functionCall": {"id": "c1", "name": "track", "args": {"parcel": "P7"}}}
    server.answers_with(Answer(servers.gemini({"text": "A parcel.", "thought": True}, {"text": "Looking."}, called)))
    image = types.Part.from_bytes(data=b"x" * 10, mime_type="image/png")
    declared = types.FunctionDeclaration(name="track", description="d", parameters_json_schema={"type": "object"})
    config = types.GenerateContentConfig(
        system_instruction="Be short.",
        temperature=0.5,
        max_output_tokens=9,
        tools=[types.Tool(function_declarations=[declared])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    client.models.generate_content(model="gemini-3-flash", contents=["Where?", image], config=config)
    told = tracer.one
    assert told.name == "generate_content gemini-3-flash"
    assert (told["provider.name"], told["response.model"]) == ("gcp.gemini", "gemini-3-flash")
    assert (told["request.temperature"], told["request.max_tokens"]) == (0.5, 9)
    assert json.loads(told["system_instructions"]) == [{"type": "text", "content": "Be short."}]
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "size": 10}
    assert told.input == [{"role": "user", "parts": [{"type": "text", "content": "Where?"}, blob]}]
    parts = [
        {"type": "reasoning", "content": "A parcel."},
        {"type": "text", "content": "Looking."},
        {"type": "tool_call", "id": "c1", "name": "track", "arguments": {"parcel": "P7"}},
    ]
    assert told.output == [{"role": "assistant", "parts": parts, "finish_reason": "stop"}]
    assert told.tokens == (15, 11, 4, None, 5)
    assert json.loads(told["tool.definitions"]) == [
        {"type": "function", "name": "track", "description": "d", "parameters": {"type": "object"}}
    ]


def test_each_request_of_automatic_calls_is_a_span(client: Any, server: Provider, tracer: Any) -> None:
    def track(parcel: str) -> str:
        """Tracks a parcel."""
        return f"{parcel} is in Bonn"

    called = {"functionCall": {"name": "track", "args": {"parcel": "P7"}}}
    server.answers_with(Answer(servers.gemini(called)), Answer(servers.gemini()))
    chat = client.chats.create(model="gemini-3-flash", config={"tools": [track]})
    assert chat.send_message("Where is P7?").text == "On its way."
    first, second = (json.loads(span.attributes["gen_ai.input.messages"]) for span in tracer.ended)
    assert [said["role"] for said in first] == ["user"]
    assert [said["role"] for said in second] == ["user", "assistant", "tool"]
    assert second[2]["parts"][0]["response"] == {"result": "P7 is in Bonn"}
    assert json.loads(tracer.ended[0].attributes["gen_ai.tool.definitions"])[0]["name"] == "track"


def test_a_stream(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.GEMINI_STREAM))
    stream = client.models.generate_content_stream(model="gemini-3-flash", contents="Where?")
    assert inspect.isgenerator(stream)
    assert server.paths == []
    assert [chunk.text for chunk in stream] == ["On its", " way."]
    assert tracer.one.output == [{"role": "assistant", "parts": [TEXT], "finish_reason": "stop"}]
    assert tracer.one.tokens == (15, 11, 4, None, 5)
    assert tracer.one["response.time_to_first_chunk"] > 0
    assert tracer.one.failed is None


def test_a_stream_that_is_closed_ends_its_span(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.GEMINI_STREAM))
    stream = client.models.generate_content_stream(model="gemini-3-flash", contents="Where?")
    assert next(stream).text == "On its"
    stream.close()
    assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]
    assert tracer.one.failed is None


def test_a_stream_that_ends_too_early(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.GEMINI_STREAM[:1], cut="clean"))
    list(client.models.generate_content_stream(model="gemini-3-flash", contents="Where?"))
    assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]
    assert tracer.one.failed == "vedette.wrap.call.StreamCutError"


@own_session
async def test_asynchronously(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(servers.gemini()))
    await client.aio.models.generate_content(model="gemini-3-flash", contents="Where?")
    assert tracer.one.output[0]["parts"] == [TEXT]
    await client.aio.aclose()


@own_session
async def test_a_stream_read_asynchronously(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.GEMINI_STREAM))
    stream = await client.aio.models.generate_content_stream(model="gemini-3-flash", contents="Where?")
    assert [chunk.text async for chunk in stream] == ["On its", " way."]
    assert tracer.one.output[0]["parts"] == [TEXT]
    await client.aio.aclose()


def test_embeddings(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.GEMINI_EMBEDDED)
    client.models.embed_content(model="text-embedding-004", contents=["parcel", "letter"])
    assert tracer.one.name == "embeddings text-embedding-004"
    assert json.loads(tracer.one["vedette.input"]) == ["parcel", "letter"]
    assert tracer.one["embeddings.dimension.count"] == 2


@pytest.mark.parametrize("status", [401, 429, 500])
def test_an_error_passes_through(status: int, client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.error(status))
    with pytest.raises(errors.APIError) as caught:
        client.models.generate_content(model="gemini-3-flash", contents="Where?")
    assert caught.value.code == status
    assert tracer.one.failed == f"google.genai.errors.{type(caught.value).__name__}"


def test_a_blocked_prompt_fails_its_span(client: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer({"promptFeedback": {"blockReason": "SAFETY"}}))
    client.models.generate_content(model="gemini-3-flash", contents="Where?")
    assert tracer.one.failed == "vedette.wrap.call.AnswerError"


def test_keeps_types_and_signatures(client: Any) -> None:
    assert type(client) is genai.Client
    bare = inspect.signature(genai.models.Models.embed_content)
    assert list(inspect.signature(client.models.embed_content).parameters) == list(bare.parameters)[1:]
