"""The gateway: a scorer's calls of a language model, made by the host with a key that the sandbox never sees.

Inside a sandbox `OPENAI_BASE_URL` is `http://127.0.0.1:3128/openai/v1`; the first segment names the provider, the rest is OpenAI's API
(https://platform.openai.com/docs/api-reference), of which the calls that are paid by the token pass. Model, requests a minute and
dollars a day are checked before a call and its usage is settled after it; refusals have OpenAI's shape, with our reason.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import Counter

from schemas.net_guard import Network, Refused, guarded_sockets
from scorers.hosted.allowance import Allowance, Limits
from scorers.hosted.openai_calls import Asked, NotAllowed, Usage, ask, error_message, json_of

log = structlog.get_logger()

BODY_BYTES = 4 * 1024 * 1024
ANSWER_BYTES = 16 * 1024 * 1024
LINE_BYTES = 1024 * 1024
"""Of one event of a stream."""
TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=10)
PASSING = (401, 402, 403, 408, 409, 429)
"""Answers that say nothing about the request: another key, more money or a moment later it would be answered."""
PASSED_ON = ("content-type", "retry-after", "x-request-id", "openai-processing-ms", "openai-version")

CALLS = Counter("vedette_gateway_calls_total", "Calls of models by hosted scorers", ["provider", "outcome"])
TOKENS = Counter("vedette_gateway_tokens_total", "Tokens of those calls", ["provider", "kind"])
USD = Counter("vedette_gateway_usd_total", "Dollars of those calls, at list prices", ["provider"])


@dataclass(frozen=True)
class Provider:
    """A provider as the gateway uses it."""

    project: str
    """Whose document it is: its allowance is shared by all scorers that use it."""
    name: str
    base_url: str
    key: str = field(repr=False)
    models: tuple[str, ...] = ()
    """Empty: all."""
    limits: Limits = field(default_factory=Limits)


@dataclass
class Meter:
    """What one sandbox has spent, and what stood in its way, since it was last read."""

    project: str
    scorer: str
    usd: float = 0.0
    trouble: "Trouble | None" = None

    def take(self) -> "tuple[float, Trouble | None]":
        """Returns both and begins anew."""
        taken = self.usd, self.trouble
        self.usd, self.trouble = 0.0, None
        return taken


@dataclass(frozen=True)
class Trouble:
    """Why a call was not answered though nothing was wrong with it."""

    reason: str
    retry_after_s: float | None = None
    is_budget: bool = False


Providers = Callable[[str, str], Provider]
"""Returns the provider that a project means by a name; raises `LookupError` with what to do."""


@dataclass
class Gateway:
    """Answers the calls of all sandboxes of a runner; used within `async with`."""

    providers: Providers
    private: tuple[Network, ...] = ()
    now_s: Callable[[], float] = time.time
    allowances: dict[tuple[str, str], Allowance] = field(default_factory=dict)

    async def __aenter__(self) -> "Gateway":
        """Opens the connections to providers."""
        self._sessions = {"https": self._session(encrypted=True), "http": self._session(encrypted=False)}
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes them."""
        for session in self._sessions.values():
            await session.close()

    def _session(self, *, encrypted: bool) -> aiohttp.ClientSession:
        sockets = guarded_sockets(self.private, encrypted=encrypted)
        connector = aiohttp.TCPConnector(use_dns_cache=False, limit=0, socket_factory=sockets)
        return aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, read_bufsize=LINE_BYTES)

    async def handle(self, meter: Meter, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request of the sandbox that `meter` belongs to."""
        try:
            return await self._answer(meter, request)
        except NotAllowed as refused:
            CALLS.labels("", "refused").inc()
            log.info("call refused", project=meter.project, scorer=meter.scorer, reason=refused.message)
            return web.json_response(refused.body(), status=refused.status)

    async def _answer(self, meter: Meter, request: web.BaseRequest) -> web.StreamResponse:
        provider, path = self._provider(meter.project, request.path)
        if request.method == "GET" and path == "/models":
            models = [{"id": one, "object": "model", "owned_by": provider.name} for one in provider.models]
            return web.json_response({"object": "list", "data": models})
        asked = ask(request.method, path, await _body(request), provider.models, round(self.now_s() * 1_000_000))
        async with self._paid(meter, provider, asked) as usage:
            return await self._forward(meter, request, provider, asked, usage)

    def _provider(self, project: str, path: str) -> tuple[Provider, str]:
        name, _, rest = path.lstrip("/").partition("/")
        version, _, rest = rest.partition("/")
        if version != "v1":
            raise NotAllowed(404, f"no such path {path}: it begins with /PROVIDER/v1/, as OPENAI_BASE_URL does")
        try:
            return self.providers(project, name), f"/{rest}"
        except LookupError as missing:
            raise NotAllowed(403, str(missing.args[0]), "provider_missing") from None

    @asynccontextmanager
    async def _paid(self, meter: Meter, provider: Provider, asked: Asked) -> AsyncIterator[Usage]:
        """Reserves what a call may cost, and settles what it did; one whose usage was never told costs what was reserved."""
        if provider.limits.budget_usd_per_day is not None and asked.most_usd is None:
            raise NotAllowed(
                403,
                f"the model {asked.model!r} has no known price, so budget_usd_per_day of provider {provider.name!r} cannot be kept: "
                "name another model, or take the budget from the provider",
            )
        allowance = self.allowances.setdefault((provider.project, provider.name), Allowance())
        reserved = asked.most_usd or 0.0
        spent = allowance.ask(self.now_s(), reserved, provider.limits)
        if spent:
            told = f"provider {provider.name!r} of project {meter.project!r}: {spent.reason}"
            meter.trouble = Trouble(told, spent.retry_after_s, spent.is_budget)
            raise NotAllowed(429, told, "insufficient_quota" if spent.is_budget else "rate_limit_exceeded")
        usage = Usage()
        try:
            yield usage
        finally:
            usd = usage.usd if usage.told else reserved
            allowance.settle(self.now_s(), reserved, usd)
            meter.usd += usd
            self._record(meter, provider, asked, usage, usd)

    async def _forward(
        self, meter: Meter, request: web.BaseRequest, provider: Provider, asked: Asked, usage: Usage
    ) -> web.StreamResponse:
        scheme, url = provider.base_url.partition(":")[0], provider.base_url.rstrip("/") + asked.path
        headers = {
            "authorization": f"Bearer {provider.key}",
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        try:
            session = self._sessions[scheme]
            async with session.post(url, data=asked.body, headers=headers, allow_redirects=False) as answer:
                if answer.status == 200 and answer.content_type == "text/event-stream":
                    return await _stream(request, answer, asked, usage)
                return await self._whole(meter, provider, answer, asked, usage)
        except (KeyError, aiohttp.ClientError, TimeoutError, Refused) as error:
            told = f"provider {provider.name!r} cannot be reached: {str(error) or type(error).__name__}"
            meter.trouble = Trouble(told)
            usage.told = usage.outcome == "failed"  # nothing was answered, so nothing is paid
            raise NotAllowed(502, told, "provider_unreachable") from None

    async def _whole(
        self, meter: Meter, provider: Provider, answer: aiohttp.ClientResponse, asked: Asked, usage: Usage
    ) -> web.Response:
        content = await _limited(answer)
        content = content.replace(provider.key.encode(), b"***")  # some providers repeat a key that they refuse
        if answer.status == 200:
            usage.outcome = "answered"
            usage.read(json_of(content), asked)
        else:
            usage.outcome, usage.told = str(answer.status), True
            if answer.status in PASSING or answer.status >= 500:
                told = f"provider {provider.name!r} answers {answer.status}: {error_message(content)}"
                meter.trouble = Trouble(told, _seconds(answer.headers.get("retry-after")))
        return web.Response(status=answer.status, body=content, headers=_passed_on(answer))

    def _record(self, meter: Meter, provider: Provider, asked: Asked, usage: Usage, usd: float) -> None:
        CALLS.labels(provider.name, usage.outcome).inc()
        TOKENS.labels(provider.name, "input").inc(usage.input_tokens)
        TOKENS.labels(provider.name, "output").inc(usage.output_tokens)
        USD.labels(provider.name).inc(usd)
        log.info(
            "model called", project=meter.project, scorer=meter.scorer, provider=provider.name, model=asked.model,
            outcome=usage.outcome, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, usd=usd,
        )  # fmt: skip


async def _body(request: web.BaseRequest) -> bytes:
    content = await request.content.read(BODY_BYTES + 1)
    while len(content) <= BODY_BYTES and (more := await request.content.read(BODY_BYTES + 1 - len(content))):
        content += more
    if len(content) > BODY_BYTES:
        raise NotAllowed(413, f"the request is larger than {BODY_BYTES} bytes")
    return content


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for part in answer.content.iter_any():
        content += part
        if len(content) > ANSWER_BYTES:
            raise NotAllowed(502, f"the provider's answer is larger than {ANSWER_BYTES} bytes")
    return content


async def _stream(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, asked: Asked, usage: Usage
) -> web.StreamResponse:
    """Passes events on as they come. The usage that the scorer has not asked for stays here."""
    usage.outcome = "broken"
    passed = web.StreamResponse(headers=_passed_on(answer))
    await passed.prepare(request)
    async for line in answer.content:
        event = json_of(line[5:]) if line.startswith(b"data:") else None
        if not (usage.read(event, asked) and asked.hides(event)):
            await passed.write(line)
    usage.outcome = "answered"
    await passed.write_eof()
    return passed


def _passed_on(answer: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None
