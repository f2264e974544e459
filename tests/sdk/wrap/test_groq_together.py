"""The clients of Groq and Together, and OpenAI's pointed at others: one protocol, many providers."""

from typing import Any

import groq
import openai
import pytest
import together
from vedette.wrap import wrap
from vedette.wrap.providers import provider_of

from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

ASKED: Any = [{"role": "user", "content": "Where is my parcel?"}]
TEXT = {"type": "text", "content": "On its way."}


def groq_client(server: Provider, kind: Any = groq.Groq) -> Any:
    return kind(base_url=server.url, api_key="k", max_retries=0)


def together_client(server: Provider, kind: Any = together.Together) -> Any:
    return kind(base_url=f"{server.url}/v1", api_key="k", max_retries=0)


MADE = pytest.mark.parametrize(("make", "name"), [(groq_client, "groq"), (together_client, "together")])


@MADE
def test_chat(make: Any, name: str, server: Provider, tracer: Any) -> None:
    server.answers_with(servers.chat("On its way.", calls=(servers.call(),)))
    with wrap(make(server), tracer) as client:
        client.chat.completions.create(model="llama-4", messages=ASKED)
    told = tracer.one
    assert (told.name, told["provider.name"]) == ("chat llama-4", name)
    called = {"type": "tool_call", "id": "call_1", "name": "track", "arguments": {"parcel": "P7"}}
    assert told.output[0]["parts"] == [TEXT, called]
    assert told.tokens[:2] == (21, 9)


@MADE
def test_a_stream(make: Any, name: str, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CHAT_STREAM))
    with wrap(make(server), tracer) as client:
        stream = client.chat.completions.create(model="llama-4", messages=ASKED, stream=True)
        assert type(stream) is {"groq": groq.Stream, "together": together.Stream}[name]
        assert len(list(stream)) == 5
    assert tracer.one.output[0]["parts"] == [TEXT]
    assert tracer.one.tokens[:2] == (21, 9)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(groq_client, groq.AsyncGroq), (together_client, together.AsyncTogether)],
    ids=["groq", "together"],
)
async def test_a_stream_read_asynchronously(make: Any, kind: Any, server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CHAT_STREAM))
    async with wrap(make(server, kind), tracer) as client:
        stream = await client.chat.completions.create(model="llama-4", messages=ASKED, stream=True)
        assert len([chunk async for chunk in stream]) == 5
    assert tracer.one.output[0]["parts"] == [TEXT]


def test_groq_tells_its_usage_in_a_place_of_its_own(server: Provider, tracer: Any) -> None:
    last = servers.chat_chunk({}, "stop", x_groq={"id": "r", "usage": servers.CHAT_USAGE})
    server.answers_with(Answer(events=(*servers.CHAT_STREAM[:3], last, servers.DONE)))
    with wrap(groq_client(server), tracer) as client:
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert tracer.one.tokens[:2] == (21, 9)


def test_thoughts_are_told_apart_from_the_answer(server: Provider, tracer: Any) -> None:
    pieces = ({"reasoning": "A "}, {"reasoning": "parcel."}, {"content": "On its way."})
    chunks = [servers.chat_chunk(piece) for piece in pieces]
    server.answers_with(Answer(events=(*chunks, servers.chat_chunk({}, "stop"), servers.DONE)))
    with wrap(groq_client(server), tracer) as client:
        list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert tracer.one.output[0]["parts"] == [{"type": "reasoning", "content": "A parcel."}, TEXT]


def test_together_embeddings(server: Provider, tracer: Any) -> None:
    server.answers_with(servers.EMBEDDED)
    with wrap(together_client(server), tracer) as client:
        client.embeddings.create(model="m2-bert", input="parcel")
    assert (tracer.one["operation.name"], tracer.one["provider.name"]) == ("embeddings", "together")
    assert tracer.one["embeddings.dimension.count"] == 3


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://acme.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://europe-west1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://evil-api.openai.com.example.org/v1", "openai"),
        ("http://127.0.0.1:8000/v1", "openai"),
    ],
)
def test_the_address_tells_the_provider_and_the_library_of_gateways(address: str, name: str) -> None:
    assert provider_of(openai.OpenAI(base_url=address, api_key="k"))["gen_ai.provider.name"] == name


def test_azure() -> None:
    client = openai.AzureOpenAI(azure_endpoint="http://127.0.0.1:1", api_key="k", api_version="2025-01-01")
    assert provider_of(client)["gen_ai.provider.name"] == "azure.ai.openai"
