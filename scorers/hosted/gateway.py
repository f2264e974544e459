"""The gateway: a scorer's calls of a language model, made by the host with a key that the sandbox never sees.

Inside a sandbox `OPENAI_BASE_URL` is `http://127.0.0.1:3128/openai/v1`; the first segment names the provider, the rest is OpenAI's API
(https://platform.openai.com/docs/api-reference), of which the calls that are paid by the token pass. Refusals have OpenAI's shape, with
our reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp import web

from scorers.providers.caller import CALLS, Caller, Meter, Provider, whole
from scorers.providers.openai_calls import Asked, NotAllowed, Usage, ask, json_of

log = structlog.get_logger()

BODY_BYTES = 4 * 1024 * 1024
PASSED_ON = ("content-type", "retry-after", "x-request-id", "openai-processing-ms", "openai-version")

Providers = Callable[[str, str], Provider]
"""Returns the provider that a project means by a name; raises `LookupError` with what to do."""


@dataclass
class Gateway:
    """Answers the calls of all sandboxes of a runner."""

    providers: Providers
    caller: Caller

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
        asked = ask(request.method, path, await _body(request), provider.models, self.caller.now_us)
        async with self.caller.call(meter, provider, asked) as (answer, usage):
            if answer.status == 200 and answer.content_type == "text/event-stream":
                return await _stream(request, answer, asked, usage)
            content = await whole(meter, provider, answer, asked, usage)
            return web.Response(status=answer.status, body=content, headers=_passed_on(answer))

    def _provider(self, project: str, path: str) -> tuple[Provider, str]:
        name, _, rest = path.lstrip("/").partition("/")
        version, _, rest = rest.partition("/")
        if version != "v1":
            raise NotAllowed(404, f"no such path {path}: it begins with /PROVIDER/v1/, as OPENAI_BASE_URL does")
        try:
            return self.providers(project, name), f"/{rest}"
        except LookupError as missing:
            raise NotAllowed(403, str(missing.args[0]), "provider_missing") from None


async def _body(request: web.BaseRequest) -> bytes:
    content = await request.content.read(BODY_BYTES + 1)
    while len(content) <= BODY_BYTES and (more := await request.content.read(BODY_BYTES + 1 - len(content))):
        content += more
    if len(content) > BODY_BYTES:
        raise NotAllowed(413, f"the request is larger than {BODY_BYTES} bytes")
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
