"""What a wrapped client keeps, and when the span of a stream ends."""

import asyncio
import gc
import inspect
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pytest
from vedette.wrap import call, chat, wrap

from tests.sdk.wrap import servers
from tests.sdk.wrap.servers import Answer, Provider

ASKED: Any = [{"role": "user", "content": "Where is my parcel?"}]
TEXT = {"type": "text", "content": "On its way."}


@pytest.fixture
def client(server: Provider, tracer: Any) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


@pytest.fixture
async def async_client(server: Provider, tracer: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as made:
        yield wrap(made, tracer)


def stream_of(client: Any) -> Any:
    return client.chat.completions.create(model="m", messages=ASKED, stream=True)


def eventually(tracer: Any) -> Any:
    """The one span, which another thread ends."""
    for _ in range(500):
        if tracer.ended:
            break
        time.sleep(0.01)
    return tracer.one


class TestClient:
    def test_keeps_type_and_signatures(self, client: Any) -> None:
        assert type(client) is openai.OpenAI
        bare = inspect.signature(openai.OpenAI(api_key="k").chat.completions.create)
        assert inspect.signature(client.chat.completions.create) == bare
        assert inspect.signature(client.post) == inspect.signature(openai.OpenAI(api_key="k").post)

    def test_leaves_other_clients_alone(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as other:
            assert type(other) is type(client)
            other.chat.completions.create(model="m", messages=ASKED)
        assert tracer.ended == []

    def test_wrapped_twice_tells_once(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        assert wrap(wrap(client, tracer), tracer) is client
        client.chat.completions.create(model="m", messages=ASKED)
        assert len(tracer.ended) == 1

    def test_tells_of_resources_that_were_used_before(self, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as made:
            completions = made.chat.completions
            wrap(made, tracer)
            completions.create(model="m", messages=ASKED)
        assert len(tracer.ended) == 1

    def test_tells_once_of_its_copies(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        copy = wrap(client.with_options(max_retries=1).copy(timeout=3), tracer)
        copy.chat.completions.create(model="m", messages=ASKED)
        assert len(tracer.ended) == 1

    def test_sends_what_a_bare_client_sends(self, client: Any, server: Provider) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        list(stream_of(client))
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k") as bare:
            list(stream_of(bare))
        assert len(server.seen) == 2
        assert server.seen[0] == server.seen[1]

    def test_other_requests_are_no_calls_of_a_model(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer({"id": "x", "results": [], "model": "m"}))
        client.moderations.create(input="Where?")
        assert tracer.ended == []

    @pytest.mark.parametrize(
        "thing",
        [object(), SimpleNamespace(chat=None), 7, "client", None],
        ids=["object", "namespace", "number", "text", "none"],
    )
    def test_an_unknown_one_is_returned_with_one_warning(self, thing: Any, caplog: pytest.LogCaptureFixture) -> None:
        assert wrap(thing) is thing
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert type(thing).__qualname__ in caplog.text

    def test_costs_nothing_when_the_tracer_is_off(self, client: Any, server: Provider, tracer: Any) -> None:
        tracer.core.on = False
        server.answers_with(servers.chat(), Answer(events=servers.CHAT_STREAM))
        client.chat.completions.create(model="m", messages=ASKED)
        stream = stream_of(client)
        assert inspect.isgenerator(stream._iterator)
        assert len(list(stream)) == 5
        assert tracer.ended == []

    def test_no_provider_is_imported(self) -> None:
        code = "import sys, vedette.wrap; print([m for m in ('openai', 'anthropic', 'groq', 'together', 'google.genai', 'httpx') if m in sys.modules])"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == "[]"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
    )
    def test_pass_through_and_fail_the_span(
        self, status: int, kind: Any, client: Any, server: Provider, tracer: Any
    ) -> None:
        server.answers_with(servers.error(status))
        with pytest.raises(kind) as caught:
            client.chat.completions.create(model="m", messages=ASKED)
        assert type(caught.value) is kind
        assert tracer.one.failed == f"openai.{kind.__name__}"
        assert tracer.one.input[0]["parts"] == [{"type": "text", "content": "Where is my parcel?"}]

    @pytest.mark.parametrize("status", [401, 429, 500])
    async def test_of_anthropic_pass_through(self, status: int, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.error(status))
        async with wrap(anthropic.AsyncAnthropic(base_url=server.url, api_key="k", max_retries=0), tracer) as client:
            with pytest.raises(anthropic.APIStatusError) as caught:
                async with client.messages.stream(model="m", max_tokens=9, messages=ASKED):
                    pass
        assert caught.value.status_code == status
        assert tracer.one.failed == f"anthropic.{type(caught.value).__name__}"

    def test_retries_are_one_call(self, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.error(500), servers.chat())
        with wrap(openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=1), tracer) as client:
            client.chat.completions.create(model="m", messages=ASKED)
        assert len(server.seen) == 2
        assert tracer.one.failed is None

    def test_wrong_arguments_fail_as_ever(self, client: Any, tracer: Any) -> None:
        with pytest.raises(TypeError, match="messages"):
            client.chat.completions.create(model="m")
        assert tracer.ended == []

    def test_of_ours_never_reach_the_caller(
        self, client: Any, server: Provider, tracer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("ours")

        monkeypatch.setattr(call, "told", broken)
        server.answers_with(servers.chat())
        assert client.chat.completions.create(model="m", messages=ASKED).choices
        monkeypatch.undo()
        monkeypatch.setattr(chat.Chunks, "add", broken)
        monkeypatch.setattr(chat, "_parts", broken)
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        assert len(list(stream_of(client))) == 5
        assert [span.name for span in tracer.ended] == ["chat", "chat"]

    def test_an_answer_that_we_cannot_read_ends_its_span(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(
            Answer({"choices": [None, 7, {"message": "odd", "finish_reason": 3}], "usage": "none", "id": 9})
        )
        client.chat.completions.create(model="m", messages=ASKED)
        assert len(tracer.ended) == 1

    async def test_a_cancelled_call_fails_its_span(self, async_client: Any, server: Provider, tracer: Any) -> None:
        pause = threading.Event()
        server.answers_with(Answer(events=servers.CHAT_STREAM, pause=pause))

        async def read() -> None:
            async for _ in await stream_of(async_client):
                pass

        task = asyncio.create_task(read())
        while not server.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        pause.set()
        assert tracer.one.failed == "asyncio.exceptions.CancelledError"


class TestStream:
    def test_is_read_as_it_comes(self, client: Any, server: Provider, tracer: Any) -> None:
        pause = threading.Event()
        server.answers_with(Answer(events=servers.CHAT_STREAM[:3], pause=pause, cut="clean"))
        stream = stream_of(client)
        assert next(stream).choices[0].delta.content == ""
        assert next(stream).choices[0].delta.content == "On its"
        pause.set()
        assert tracer.ended == []
        assert next(stream).choices[0].delta.content == " way."

    def test_torn_tells_what_came_and_fails(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM[:2], cut="torn"))
        with pytest.raises(openai.APIConnectionError):
            list(stream_of(client))
        assert tracer.one.failed == "openai.APIConnectionError"
        assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]

    async def test_torn_while_read_asynchronously(self, async_client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM[:2], cut="torn"))
        with pytest.raises(openai.APIConnectionError):
            async for _ in await stream_of(async_client):
                pass
        assert tracer.one.failed == "openai.APIConnectionError"
        assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]

    def test_that_ends_too_early_fails(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM[:2], cut="clean"))
        assert len(list(stream_of(client))) == 2
        assert tracer.one.failed == "vedette.wrap.call.StreamCutError"
        assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]

    def test_closed_by_its_reader_ends_well(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        with stream_of(client) as stream:
            next(stream)
            next(stream)
        assert stream.response.is_closed
        assert tracer.one.failed is None
        assert tracer.one.output[0]["parts"] == [{"type": "text", "content": "On its"}]

    async def test_closed_by_its_asynchronous_reader(self, async_client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        async with await stream_of(async_client) as stream:
            await anext(stream)
        assert stream.response.is_closed
        assert tracer.one.failed is None

    def test_of_a_helper_closed_without_being_read(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        with client.chat.completions.stream(model="m", messages=ASKED):
            assert tracer.ended == []
        assert tracer.one.failed is None

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its socket is dropped with it
    @pytest.mark.parametrize("chunks", [0, 2])
    def test_dropped_ends_with_the_garbage(self, chunks: int, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        stream = stream_of(client)
        for _ in range(chunks):
            next(stream)
        del stream
        gc.collect()
        assert eventually(tracer).failed is None

    def test_of_anthropic_dropped_ends_at_once(self, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CLAUDE_STREAM))
        gc.disable()
        try:
            with wrap(anthropic.Anthropic(base_url=server.url, api_key="k"), tracer) as client:
                stream = client.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True)
                next(stream)
                del stream
                assert eventually(tracer).failed is None
        finally:
            gc.enable()


class TestRaw:
    def test_response_is_told_from_what_the_client_read(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED)
        assert raw.http_response.status_code == 200
        assert raw.parse().choices[0].message.content == "On its way."
        assert tracer.one.output[0]["parts"] == [TEXT]

    def test_response_that_is_a_stream(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
        assert len(list(raw.parse())) == 5
        assert tracer.one.output[0]["parts"] == [TEXT]

    def test_streaming_response_is_not_read_for_us(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(servers.chat())
        with client.chat.completions.with_streaming_response.create(model="m", messages=ASKED) as raw:
            assert not raw.http_response.is_stream_consumed
        assert not raw.http_response.is_stream_consumed
        assert tracer.one["output.messages"] is None
        assert tracer.one.failed is None

    @pytest.mark.parametrize("way", ["parse", "read", "json"])
    def test_streaming_response_is_told_when_it_was_read(
        self, way: str, client: Any, server: Provider, tracer: Any
    ) -> None:
        server.answers_with(servers.chat())
        with client.chat.completions.with_streaming_response.create(model="m", messages=ASKED) as raw:
            getattr(raw, way)()
        assert tracer.one.output[0]["parts"] == [TEXT]

    def test_streaming_response_read_by_lines(self, client: Any, server: Provider, tracer: Any) -> None:
        server.answers_with(Answer(events=servers.CHAT_STREAM))
        create = client.chat.completions.with_streaming_response.create
        with create(model="m", messages=ASKED, stream=True) as raw:
            assert [line for line in raw.iter_lines() if line][-1] == "data: [DONE]"
        assert tracer.one.failed is None

    async def test_streaming_response_read_asynchronously(
        self, async_client: Any, server: Provider, tracer: Any
    ) -> None:
        server.answers_with(servers.chat())
        create = async_client.chat.completions.with_streaming_response.create
        async with create(model="m", messages=ASKED) as raw:
            assert (await raw.parse()).choices[0].message.content == "On its way."
        assert tracer.one.output[0]["parts"] == [TEXT]


class TestShaped:
    """Clients of an unknown make that have OpenAI's shape."""

    @staticmethod
    def client(create: Any) -> Any:
        return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))

    def test_tells_a_call(self, tracer: Any) -> None:
        client = wrap(self.client(lambda **_: servers.chat().body), tracer)
        assert client.chat.completions.create(model="m", messages=ASKED)["id"] == "chatcmpl-1"
        assert tracer.one.output[0]["parts"] == [TEXT]
        assert tracer.one.tokens[:2] == (21, 9)

    def test_tells_a_stream(self, tracer: Any) -> None:
        def create(**request: Any) -> Iterator[Any]:
            return (chunk for chunk in servers.CHAT_STREAM[:-1])

        stream = wrap(self.client(create), tracer).chat.completions.create(model="m", messages=ASKED, stream=True)
        assert inspect.isgenerator(stream)
        assert len(list(stream)) == 5
        assert tracer.one.output[0]["parts"] == [TEXT]

    async def test_tells_an_asynchronous_stream(self, tracer: Any) -> None:
        async def chunks() -> AsyncIterator[Any]:
            for chunk in servers.CHAT_STREAM[:-1]:
                yield chunk

        async def create(**request: Any) -> Any:
            return chunks()

        stream = await wrap(self.client(create), tracer).chat.completions.create(model="m", messages=ASKED, stream=True)
        assert len([chunk async for chunk in stream]) == 5
        assert tracer.one.output[0]["parts"] == [TEXT]

    def test_fails_as_the_client_does(self, tracer: Any) -> None:
        def create(**request: Any) -> Any:
            raise KeyError("model")

        with pytest.raises(KeyError):
            wrap(self.client(create), tracer).chat.completions.create(messages=ASKED)
        assert tracer.one.failed == "KeyError"
        assert json.loads(tracer.one["input.messages"])
