"""The gateway, asked by OpenAI's real client through the door, in front of a local server that speaks OpenAI's protocol."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import openai
import pytest

from schemas.net_guard import networks
from scorers.hosted.door import open_door
from scorers.hosted.egress import Egress
from scorers.hosted.gateway import Gateway
from scorers.providers.allowance import Limits
from scorers.providers.caller import Caller, Meter, Provider, Trouble
from streams.local.openai_standin import OpenAiCall, OpenAiReply, OpenAiStandIn

KEY = "sk-canary-5f1e"
LOOPBACK = networks(["127.0.0.0/8"])
ASKED = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Agent response: your parcel comes today\n"}]}


@pytest.fixture
def server() -> Iterator[OpenAiStandIn]:
    with OpenAiStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def provider(server: OpenAiStandIn) -> Provider:
    return Provider("shop", "openai", server.url, KEY, ("gpt-5-mini",))


@asynccontextmanager
async def client(provider: Provider, folder: Path, meter: Meter, retries: int = 0) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client as a scorer has it, with the placeholder for a key, on the host's side of a door."""

    def providers(project: str, name: str) -> Provider:
        if (project, name) != ("shop", "openai"):
            raise LookupError(f"project {project!r} has no provider {name!r}: apply one")
        return provider

    transport = httpx2.AsyncHTTPTransport(uds=str(folder / "door"))
    async with (
        Caller(LOOPBACK) as caller,
        open_door(folder / "door", meter, Gateway(providers, caller), Egress({})),
        openai.AsyncOpenAI(
            api_key="held-by-the-gateway", base_url="http://127.0.0.1:3128/openai/v1", max_retries=retries,
            http_client=openai.DefaultAsyncHttpxClient(transport=transport),
        ) as asking,
    ):  # fmt: skip
        yield asking


@pytest.fixture
def meter() -> Meter:
    return Meter("shop", "Package Inquiry Scorer")


async def test_a_call_is_answered_with_the_key_of_the_host_and_its_cost_is_metered(
    server: OpenAiStandIn, provider: Provider, tmp_path: Path, meter: Meter
) -> None:
    async with client(provider, tmp_path, meter) as asking:
        answer = await asking.chat.completions.create(**ASKED)  # type: ignore[call-overload]
    assert answer.choices[0].message.content == "YES"
    assert [(call.path, call.key) for call in server.calls] == [("/v1/chat/completions", KEY)]
    assert "held-by-the-gateway" not in str(server.calls)
    usd, trouble = meter.take()
    listed = answer.usage.prompt_tokens * 0.25e-6 + answer.usage.completion_tokens * 2e-6
    assert usd == pytest.approx(listed)
    assert trouble is None
    assert meter.take() == (0.0, None)


@pytest.mark.parametrize("asks_for_usage", [True, False])
async def test_a_stream_passes_and_is_paid_whether_or_not_the_scorer_asks_for_its_usage(
    provider: Provider, tmp_path: Path, meter: Meter, asks_for_usage: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if asks_for_usage else {}
    async with client(provider, tmp_path, meter) as asking:
        chunks = [chunk async for chunk in await asking.chat.completions.create(**ASKED, stream=True, **options)]  # type: ignore[call-overload]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "YES"
    assert any(chunk.usage for chunk in chunks) == asks_for_usage
    assert meter.take()[0] > 0


async def test_the_models_of_the_provider_are_listed_and_no_other_is_asked(
    server: OpenAiStandIn, provider: Provider, tmp_path: Path, meter: Meter
) -> None:
    async with client(provider, tmp_path, meter) as asking:
        assert [model.id async for model in asking.models.list()] == ["gpt-5-mini"]
        with pytest.raises(
            openai.PermissionDeniedError, match="model 'gpt-5' is not allowed, only gpt-5-mini"
        ) as refused:
            await asking.chat.completions.create(**ASKED | {"model": "gpt-5"})  # type: ignore[call-overload]
    assert refused.value.code == "model_not_allowed"
    assert server.calls == []


async def test_too_many_requests_a_minute_are_refused_and_told_as_trouble(
    server: OpenAiStandIn, provider: Provider, tmp_path: Path, meter: Meter
) -> None:
    slow = replace(provider, limits=Limits(requests_per_minute=1))
    async with client(slow, tmp_path, meter) as asking:
        await asking.chat.completions.create(**ASKED)  # type: ignore[call-overload]
        with pytest.raises(openai.RateLimitError, match="1 requests a minute are made") as refused:
            await asking.chat.completions.create(**ASKED)  # type: ignore[call-overload]
    assert refused.value.code == "rate_limit_exceeded"
    _, trouble = meter.take()
    assert trouble
    assert 0 < (trouble.retry_after_s or 0) <= 60
    assert len(server.calls) == 1


async def test_the_budget_of_the_day_is_kept_whatever_is_asked_at_once(
    server: OpenAiStandIn, provider: Provider, tmp_path: Path, meter: Meter
) -> None:
    """A call of 10 tokens at most reserves about 160 millionths of a dollar: three of twenty fit."""
    poor = replace(provider, limits=Limits(budget_usd_per_day=0.0002))
    server.respond = lambda _: OpenAiReply("YES")
    async with client(poor, tmp_path, meter) as asking:
        calls = [asking.chat.completions.create(**ASKED, max_completion_tokens=10) for _ in range(20)]  # type: ignore[call-overload]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in answers if isinstance(one, openai.RateLimitError)]
    assert 0 < len(server.calls) < 20
    assert len(refused) == 20 - len(server.calls)
    assert {one.code for one in refused} == {"insufficient_quota"}
    usd, trouble = meter.take()
    assert usd <= 0.0002
    assert trouble
    assert trouble.is_budget


async def test_a_model_without_a_price_cannot_be_kept_in_a_budget(
    provider: Provider, tmp_path: Path, meter: Meter
) -> None:
    unpriced = replace(provider, models=(), limits=Limits(budget_usd_per_day=1))
    async with client(unpriced, tmp_path, meter) as asking:
        with pytest.raises(openai.PermissionDeniedError, match="'our-own' has no known price"):
            await asking.chat.completions.create(**ASKED | {"model": "our-own"})  # type: ignore[call-overload]


@pytest.mark.parametrize(("status", "is_trouble"), [(400, False), (401, True), (404, False), (429, True), (503, True)])
async def test_an_error_of_the_provider_passes_without_the_key_and_costs_nothing(
    server: OpenAiStandIn, provider: Provider, tmp_path: Path, meter: Meter, status: int, is_trouble: bool
) -> None:
    def respond(call: OpenAiCall) -> OpenAiReply:
        return OpenAiReply(f"not with {call.key}", status, {"retry-after": "7"})

    server.respond = respond
    async with client(provider, tmp_path, meter) as asking:
        with pytest.raises(openai.APIStatusError, match=r"not with \*\*\*") as refused:
            await asking.chat.completions.create(**ASKED)  # type: ignore[call-overload]
    assert (refused.value.status_code, KEY in str(refused.value)) == (status, False)
    told = Trouble(f"provider 'openai' answers {status}: not with ***", 7)
    assert meter.take() == (0.0, told if is_trouble else None)


async def test_a_provider_that_is_away_is_told_as_such(tmp_path: Path, meter: Meter) -> None:
    away = Provider("shop", "openai", "http://127.0.0.1:9/v1", KEY)
    async with client(away, tmp_path, meter) as asking:
        with pytest.raises(openai.InternalServerError, match="provider 'openai' cannot be reached"):
            await asking.chat.completions.create(**ASKED)  # type: ignore[call-overload]
    usd, trouble = meter.take()
    assert (usd, trouble.reason.startswith("provider 'openai' cannot be reached") if trouble else "") == (0.0, True)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://169.254.169.254/v1", "not a public address"),
        ("http://10.0.0.1/v1", "not a public address"),
        ("http://93.184.216.34/v1", "must begin with https"),
        ("ftp://93.184.216.34/v1", "cannot be reached"),
    ],
)
async def test_no_document_leads_the_gateway_where_it_must_not_go(
    tmp_path: Path, meter: Meter, url: str, reason: str
) -> None:
    async with client(Provider("shop", "openai", url, KEY), tmp_path, meter) as asking:
        with pytest.raises(openai.InternalServerError, match=reason):
            await asking.chat.completions.create(**ASKED)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", "/openai/v1/files", b"{}", 404, "is not passed on"),
        ("DELETE", "/openai/v1/models/gpt-5-mini", b"", 404, "is not passed on"),
        ("POST", "/openai/v1/../v1/files", b"{}", 404, "is not passed on"),
        ("POST", "/v1/chat/completions", b"{}", 404, "begins with /PROVIDER/v1/"),
        ("POST", "/other/v1/chat/completions", b"{}", 403, "no provider 'other'"),
        ("POST", "/openai/v1/chat/completions", b"[1]", 400, "no JSON object"),
        ("POST", "/openai/v1/chat/completions", b"{", 400, "no JSON"),
        ("POST", "/openai/v1/chat/completions", b"{}", 400, "names no model"),
        ("POST", "/openai/v1/chat/completions", b'{"model": ["gpt-5-mini"]}', 400, "names no model"),
        ("POST", "/openai/v1/responses", b'{"model": "gpt-5-mini", "tools": [{"type": "mcp"}]}', 403, "mcp: only tools"),
        ("POST", "/openai/v1/chat/completions", b'{"model": "gpt-5-mini", "web_search_options": {"a": 1}}', 403, "web_search"),
        ("POST", "/openai/v1/chat/completions", b" " * (4 * 1024 * 1024 + 1), 413, "larger than"),
    ],
)  # fmt: skip
async def test_only_calls_that_are_paid_by_the_token_pass(
    server: OpenAiStandIn, provider: Provider, tmp_path: Path, meter: Meter, method: str, path: str, body: bytes, status: int, reason: str
) -> None:  # fmt: skip
    async with client(provider, tmp_path, meter) as asking:
        answer = await asking._client.request(method, f"http://127.0.0.1:3128{path}", content=body)
    assert (answer.status_code, reason in answer.json()["error"]["message"]) == (status, True), answer.text
    assert server.calls == []


async def test_an_answer_that_breaks_off_costs_what_was_reserved(tmp_path: Path, meter: Meter) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\ndata: {}\n\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(half, "127.0.0.1", 0) as broken:
        provider = Provider("shop", "openai", f"http://127.0.0.1:{broken.sockets[0].getsockname()[1]}/v1", KEY)
        async with client(provider, tmp_path, meter) as asking:
            with pytest.raises((openai.APIError, httpx2.HTTPError)):
                async for _ in await asking.chat.completions.create(**ASKED, stream=True):  # type: ignore[call-overload]
                    pass
    usd, trouble = meter.take()
    assert usd == pytest.approx(4096 * 2e-6, rel=0.1)
    assert trouble
