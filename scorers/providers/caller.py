"""Calls of providers: within their limits, with keys that stay here, to addresses that may be connected to.

Requests a minute and dollars a day are checked before a call, its usage is settled after it; whoever calls hands in a meter, which
tells afterwards what was spent and what stood in the way. The protocol is OpenAI's (https://platform.openai.com/docs/api-reference).
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import structlog
from prometheus_client import Counter

from schemas.net_guard import Network, Refused, guarded_sockets
from scorers.providers.allowance import Allowance, Limits
from scorers.providers.openai_calls import Asked, NotAllowed, Usage, error_message, json_of

log = structlog.get_logger()

ANSWER_BYTES = 16 * 1024 * 1024
LINE_BYTES = 1024 * 1024
"""Of one event of a stream."""
TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=10)
PASSING = (401, 402, 403, 408, 409, 429)
"""Answers that say nothing about the request: another key, more money or a moment later it would be answered."""

CALLS = Counter("vedette_gateway_calls_total", "Calls of models by hosted scorers and judges", ["provider", "outcome"])
TOKENS = Counter("vedette_gateway_tokens_total", "Tokens of those calls", ["provider", "kind"])
USD = Counter("vedette_gateway_usd_total", "Dollars of those calls, at list prices", ["provider"])


@dataclass(frozen=True)
class Provider:
    """A provider as it is called."""

    project: str
    """Whose document it is: its allowance is shared by all scorers that use it."""
    name: str
    base_url: str
    key: str = field(repr=False)
    models: tuple[str, ...] = ()
    """Empty: all."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Trouble:
    """Why a call was not answered though nothing was wrong with it."""

    reason: str
    retry_after_s: float | None = None
    is_budget: bool = False


@dataclass
class Meter:
    """What one caller has spent, and what stood in its way, since it was last read."""

    project: str
    scorer: str
    usd: float = 0.0
    trouble: Trouble | None = None

    def take(self) -> tuple[float, Trouble | None]:
        """Returns both and begins anew."""
        taken = self.usd, self.trouble
        self.usd, self.trouble = 0.0, None
        return taken


@dataclass
class Caller:
    """Calls all providers of a process; used within `async with`."""

    private: tuple[Network, ...] = ()
    now_s: Callable[[], float] = time.time
    allowances: dict[tuple[str, str], Allowance] = field(default_factory=dict)

    async def __aenter__(self) -> "Caller":
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

    @property
    def now_us(self) -> int:
        """The time of a call that is made now, microseconds since the epoch."""
        return round(self.now_s() * 1_000_000)

    @asynccontextmanager
    async def call(
        self, meter: Meter, provider: Provider, asked: Asked
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, Usage]]:
        """Makes a call and yields its answer, whose body is still to be read, with where its usage is noted.

        Raises:
            NotAllowed: it was not made, or broke off; `meter` tells the trouble if nothing was wrong with the call.

        """
        async with self._paid(meter, provider, asked) as usage, self._posted(meter, provider, asked, usage) as answer:
            yield answer, usage

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
            _record(meter, provider, asked, usage, usd)

    @asynccontextmanager
    async def _posted(
        self, meter: Meter, provider: Provider, asked: Asked, usage: Usage
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        scheme, url = provider.base_url.partition(":")[0], provider.base_url.rstrip("/") + asked.path
        headers = {
            "authorization": f"Bearer {provider.key}",
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        try:
            session = self._sessions[scheme]
            async with session.post(url, data=asked.body, headers=headers, allow_redirects=False) as answer:
                yield answer
        except (KeyError, aiohttp.ClientError, TimeoutError, Refused) as error:
            told = f"provider {provider.name!r} cannot be reached: {str(error) or type(error).__name__}"
            meter.trouble = Trouble(told)
            usage.told = usage.outcome == "failed"  # nothing was answered, so nothing is paid
            raise NotAllowed(502, told, "provider_unreachable") from None


async def whole(meter: Meter, provider: Provider, answer: aiohttp.ClientResponse, asked: Asked, usage: Usage) -> bytes:
    """Returns the body of an answer that is no stream, without the key, and notes its usage or its trouble.

    Raises:
        NotAllowed: it is too large.

    """
    content = await _limited(answer)
    content = content.replace(provider.key.encode(), b"***")  # some providers repeat a key that they refuse
    if answer.status == 200:
        usage.outcome = "answered"
        usage.read(json_of(content), asked)
        return content
    usage.outcome, usage.told = str(answer.status), True
    if answer.status in PASSING or answer.status >= 500:
        told = f"provider {provider.name!r} answers {answer.status}: {error_message(content)}"
        meter.trouble = Trouble(told, _seconds(answer.headers.get("retry-after")))
    return content


def _record(meter: Meter, provider: Provider, asked: Asked, usage: Usage, usd: float) -> None:
    CALLS.labels(provider.name, usage.outcome).inc()
    TOKENS.labels(provider.name, "input").inc(usage.input_tokens)
    TOKENS.labels(provider.name, "output").inc(usage.output_tokens)
    USD.labels(provider.name).inc(usd)
    log.info(
        "model called", project=meter.project, scorer=meter.scorer, provider=provider.name, model=asked.model,
        outcome=usage.outcome, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, usd=usd,
    )  # fmt: skip


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for part in answer.content.iter_any():
        content += part
        if len(content) > ANSWER_BYTES:
            raise NotAllowed(502, f"the provider's answer is larger than {ANSWER_BYTES} bytes")
    return content


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() else None
