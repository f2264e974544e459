"""`POST /builds` of the runner job: the api has uploads built where the sandbox is."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import orjson
import structlog
from aiohttp import web
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, ValidationError

from scorers.hosted.build import Builder, BuildFailed, Built
from scorers.hosted.bundle import Bundle
from scorers.hosted.index import MIB, Index
from scorers.hosted.install import Installer
from scorers.hosted.pip_settings import pip_settings
from scorers.hosted.sandbox import Sandbox
from streams.settings import Settings

log = structlog.get_logger()

AT_ONCE = 2


class Wanted(BaseModel):
    """What is to be built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    requirements: str = ""


def builder(settings: Settings, sandbox: Sandbox, folder: Path, env: Mapping[str, str]) -> Builder:
    """Returns what builds by these settings: pip's own index where they name none.

    Args:
        settings: of the job.
        sandbox: the tier that holds here.
        folder: for bundles and packages; every sandbox must be able to reach it.
        env: what scorers find in their environment.

    Raises:
        LookupError: no index is named, and pip does not tell its own.

    """
    own = pip_settings()
    url = settings.index_url.get_secret_value() or own.index_url
    allow = tuple(canonicalize_name(name.strip()) for name in settings.index_allow.split(",") if name.strip())
    index = Index(url, own.certificates, settings.index_min_age / 1000, allow)
    installer = Installer(sandbox, index, folder, most_bytes=settings.runner_disk_mib * MIB)
    return Builder(installer, env)


def routes(
    build: Callable[[Bundle], Awaitable[Built]], settings: Settings, refusal: Callable[[], str]
) -> list[web.RouteDef]:
    """Returns the routes for the runner's own port.

    Args:
        build: builds one upload.
        settings: `runner_token` is what the api must present.
        refusal: why this machine's sandbox takes no uploads; empty when it holds.

    """
    slots = asyncio.Semaphore(AT_ONCE)
    token = settings.runner_token.get_secret_value()

    async def answer(request: web.Request) -> web.Response:
        presented = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or not hmac.compare_digest(presented.encode(), token.encode()):
            return _told(401, "token_wrong", "give the api and the runner the same VEDETTE_RUNNER_TOKEN")
        if why := refusal():
            return _told(503, "no_sandbox", why)
        try:
            wanted = Wanted.model_validate_json(await request.read())
        except ValidationError as error:
            return _told(400, "invalid_body", str(error.errors(include_url=False)[0]["msg"]))
        try:
            async with slots:
                built = await build(Bundle(wanted.code, wanted.requirements))
        except BuildFailed as failed:
            return _told(422, "build_failed", failed.log)
        log.info("built", scorer=built.manifest.scorer, packages=built.lock.count("\n"))
        told = {"lock": built.lock, "manifest": asdict(built.manifest), "log": built.log, "notes": built.notes}
        return web.Response(body=orjson.dumps(told), content_type="application/json")

    return [web.post("/builds", answer)]


def _told(status: int, code: str, message: str) -> web.Response:
    body = orjson.dumps({"error": code, "message": message})
    return web.Response(body=body, status=status, content_type="application/json")
