"""A judge's model behind OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), as most providers and servers speak it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from scorers.answer import Schema
from scorers.model import Answer, Message, NotAsked, TooLong
from scorers.providers.caller import Caller, Meter, Provider, whole
from scorers.providers.openai_calls import NotAllowed, ask, error_message, json_of
from scorers.scorer import Permanent, Transient

PATH = "/chat/completions"
OPERATORS = (401, 402, 403)
"""A wrong key or an empty account: the operator's to mend, so every judge of that provider waits, and comes back seldom."""
OPERATORS_PAUSE_S = 600.0
CLOSED_S = 30.0
"""After such an answer the provider is not called again for so long, whoever asks."""
CROWD = 20
"""Of a scorer's concurrency: more than so many times that do not wait in the worker, where they would hold up others."""

_TOO_LONG = ("context_length_exceeded", "context length", "maximum context", "too many tokens", "prompt is too long")

Choose = Callable[[str], tuple[Provider, str]]
"""Returns the provider of a model now, and the model's name (of an empty one, the provider's first); raises `LookupError`."""


@dataclass
class Closed:
    """Providers that are not called for a while, and why."""

    until: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)

    def check(self, provider: Provider, now_s: float) -> None:
        """Raises `Transient` while a provider is closed."""
        end, reason = self.until.get((provider.project, provider.name), (0.0, ""))
        if now_s < end:
            raise Transient(reason, end - now_s)

    def close(self, provider: Provider, now_s: float, seconds: float, reason: str) -> None:
        """Closes a provider."""
        self.until[provider.project, provider.name] = now_s + seconds, reason


@dataclass
class Chat:
    """One scorer version's model: whichever provider has it when it is asked."""

    project: str
    scorer: str
    model: str
    """Empty: the first that a provider lists."""
    choose: Choose
    caller: Caller
    closed: Closed
    slots: asyncio.Semaphore
    most: int
    """May wait for a slot."""
    timeout_s: float
    further: dict[str, Any] = field(default_factory=dict)
    """Of the request's body: temperature, limit of the output."""
    formless: bool = False
    """The provider has said that it takes no schema for answers: the words of the question have to do."""
    _waiting: int = 0

    async def ask(self, messages: Sequence[Message], schema: Schema) -> Answer:
        """Returns the answer. Raises as `scorers.model.Model` tells."""
        if self._waiting >= self.most:
            raise Transient(f"{self.most} wait for this scorer: raise `concurrency`, or judge less of the traffic")
        self._waiting += 1
        try:
            async with self.slots, asyncio.timeout(self.timeout_s):
                return await self._ask(messages, schema)
        except TimeoutError:
            raise Transient(f"no answer within {self.timeout_s:g} s; `timeout` of the scorer sets the limit") from None
        finally:
            self._waiting -= 1

    async def _ask(self, messages: Sequence[Message], schema: Schema) -> Answer:
        try:
            provider, model = self.choose(self.model)
        except LookupError as missing:
            raise NotAsked(str(missing.args[0])) from None
        self.closed.check(provider, self.caller.now_s())
        status, content, meter = await self._called(provider, self._body(model, messages, schema))
        if status == 400 and b"response_format" in content and not self.formless:
            self.formless = True
            status, content, meter = await self._called(provider, self._body(model, messages, schema))
        if status != 200:
            raise self._refused(provider, status, content, meter)
        return Answer(_text(provider, json_of(content), meter.usd), meter.usd)

    def _body(self, model: str, messages: Sequence[Message], schema: Schema) -> bytes:
        form = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}
        formed = {} if self.formless else {"response_format": form}
        return orjson.dumps({"model": model, "messages": messages, **formed, **self.further})

    async def _called(self, provider: Provider, body: bytes) -> tuple[int, bytes, Meter]:
        meter = Meter(self.project, self.scorer)
        asked = ask("POST", PATH, body, provider.models, self.caller.now_us)
        try:
            async with self.caller.call(meter, provider, asked) as (answer, usage):
                return answer.status, await whole(meter, provider, answer, asked, usage), meter
        except NotAllowed as refused:
            trouble = meter.trouble
            if trouble is None or trouble.is_budget:
                raise NotAsked(refused.message) from None
            raise Transient(trouble.reason, trouble.retry_after_s) from None

    def _refused(self, provider: Provider, status: int, content: bytes, meter: Meter) -> Exception:
        """What an answer that is none means."""
        told = f"provider {provider.name!r} answers {status}: {error_message(content)}"
        if meter.trouble is None:
            if status == 413 or any(sign in content.decode(errors="replace").lower() for sign in _TOO_LONG):
                return TooLong(told)
            return Permanent(told)
        trouble, now_s = meter.trouble, self.caller.now_s()
        if status in OPERATORS:
            self.closed.close(provider, now_s, CLOSED_S, trouble.reason)
            return Transient(trouble.reason, OPERATORS_PAUSE_S)
        if trouble.retry_after_s:
            self.closed.close(provider, now_s, min(trouble.retry_after_s, CLOSED_S), trouble.reason)
        return Transient(trouble.reason, trouble.retry_after_s)


def _text(provider: Provider, answer: object, usd: float) -> str:
    """The words of an answer.

    Raises:
        Permanent: the model refused, or was stopped.
        Transient: it is no answer of the protocol: something in between speaks.

    """
    try:
        choice = answer["choices"][0]  # type: ignore[index]
        message, why = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
    except (TypeError, KeyError, IndexError, AttributeError):
        raise Transient(f"provider {provider.name!r} answers 200, but no chat completion: see its `base_url`") from None
    if refusal or why == "content_filter":
        raise Permanent(f"the model refuses: {str(refusal or 'content filter')[:300]}", usd or None)
    if why == "length":
        raise Permanent(
            "the model's answer was cut: raise `with.max_tokens`, which its thinking counts towards", usd or None
        )
    return text if isinstance(text, str) else ""
