"""What a wrapped client tells arrives in the server's own fields."""

from typing import Any

import anthropic
import openai
import pytest
from google import genai
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from vedette.wrap import wrap

from schemas.span import Span
from scorers.said import unpacked
from streams.normalise import chunks
from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

ASKED: Any = [{"role": "user", "content": "Where is my parcel?"}]


def read(tracer: Any) -> Span:
    """The one span as the server keeps it."""
    (chunk,) = chunks(encode_spans(tracer.ended).SerializeToString(), "default", 1_795_399_605_000)
    (span,) = chunk.spans
    return span


def tokens(span: Span) -> tuple[int | None, ...]:
    return (
        *(span.input_tokens, span.output_tokens),
        *(span.cached_input_tokens, span.cache_write_input_tokens, span.reasoning_output_tokens),
    )


def test_a_chat(server: Provider, tracer: Any) -> None:
    server.answers_with(servers.chat("On its way.", calls=(servers.call(),)))
    with wrap(openai.OpenAI(base_url=f"{server.url}/v1", api_key="k"), tracer) as client:
        client.chat.completions.create(model="gpt-5-mini", messages=ASKED)
    span = read(tracer)
    assert (span.kind, span.provider, span.model) == ("llm", "openai", "gpt-5-mini-2025-08-07")
    assert tokens(span) == (21, 9, 5, 2, 4)
    assert span.cost_usd is not None
    assert unpacked(span.input or "").text == "Where is my parcel?"
    said = unpacked(span.output or "")
    assert (said.text, said.calls, said.finish_reasons) == ("On its way.", ['{"parcel":"P7"}'], ["tool_calls"])


def test_a_message_of_anthropic(server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(events=servers.CLAUDE_STREAM))
    with wrap(anthropic.Anthropic(base_url=server.url, api_key="k"), tracer) as client:
        list(client.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True))
    span = read(tracer)
    assert (span.kind, span.provider, span.model) == ("llm", "anthropic", "claude-sonnet-4-5-20250929")
    assert tokens(span) == (130, 8, 100, 20, 3)
    assert unpacked(span.output or "").text == "On its way."


def test_an_answer_of_gemini(server: Provider, tracer: Any) -> None:
    server.answers_with(Answer(servers.gemini()))
    with wrap(genai.Client(api_key="k", http_options={"base_url": server.url}), tracer) as client:
        client.models.generate_content(model="gemini-3-flash", contents="Where is my parcel?")
    span = read(tracer)
    assert (span.kind, span.provider, span.model) == ("llm", "gcp.gemini", "gemini-3-flash")
    assert tokens(span) == (15, 11, 4, None, 5)
    assert unpacked(span.output or "").text == "On its way."


def test_embeddings(server: Provider, tracer: Any) -> None:
    server.answers_with(servers.EMBEDDED)
    with wrap(openai.OpenAI(base_url=f"{server.url}/v1", api_key="k"), tracer) as client:
        client.embeddings.create(model="text-embedding-3-small", input="parcel")
    span = read(tracer)
    assert (span.kind, span.input_tokens, span.input) == ("retriever", 4, '["parcel"]')


def test_a_refused_call(server: Provider, tracer: Any) -> None:
    server.answers_with(servers.error(429))
    client = wrap(openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0), tracer)
    with client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-5-mini", messages=ASKED)
    assert (read(tracer).status, read(tracer).kind) == ("error", "llm")
