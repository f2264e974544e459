"""`POST /builds`: who may have something built, and what is answered."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr

from scorers.hosted.build import BuildFailed, Built, Place
from scorers.hosted.bundle import Bundle
from scorers.hosted.channel import Manifest
from streams.api import builds
from streams.api.errors import Refused
from streams.runner_builds import routes
from streams.settings import Settings

TOKEN = SecretStr("one that both know")
BUILT = Built(
    Place(Path("/code"), None),
    "openai==3.0 --hash=sha256:ab\n",
    Manifest("Mine", "My scorer", 0.7),
    "a log",
    ("a note",),
)


async def answers(bundle: Bundle) -> Built:
    if "broken" in bundle.code:
        raise BuildFailed("line 3: it is broken")
    return BUILT


@asynccontextmanager
async def runner(
    settings: Settings, build: Callable[[Bundle], Awaitable[Built]] = answers, refusal: str = ""
) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes(build, settings, lambda: refusal))
    serving = web.AppRunner(app)
    await serving.setup()
    site = web.TCPSite(serving, "127.0.0.1", 0)
    await site.start()
    yield site.name
    await serving.cleanup()


async def test_the_api_has_an_upload_built_and_keeps_what_came_of_it() -> None:
    async with runner(Settings(runner_token=TOKEN)) as url:
        spec, log = await builds.built(Settings(runner_token=TOKEN, runner_url=url), "code", "openai")
    assert (spec.code, spec.requirements, spec.lock, spec.notes, log) == (
        "code",
        "openai",
        BUILT.lock,
        ("a note",),
        "a log",
    )
    assert spec.manifest is not None
    assert (spec.manifest.scorer, spec.manifest.threshold, spec.manifest.kind) == ("My scorer", 0.7, "example")
    assert spec.identity("p") != spec.identity("")
    assert spec.identity("p") != spec.model_copy(update={"lock": ""}).identity("p")


async def test_the_log_of_a_build_that_failed_reaches_the_uploader() -> None:
    async with runner(Settings(runner_token=TOKEN)) as url:
        with pytest.raises(Refused, match="line 3: it is broken") as refused:
            await builds.built(Settings(runner_token=TOKEN, runner_url=url), "broken", "")
    assert (refused.value.status, refused.value.body["error"]) == (422, "build_failed")


@pytest.mark.parametrize(
    ("settings", "refusal", "code", "told"),
    [
        ({}, "", "no_runner", "start `vedette runner`"),
        ({"runner_url": "http://127.0.0.1:9"}, "", "no_runner", "does not answer"),
        ({"runner_url": "HERE"}, "", "runner_failed", "the same VEDETTE_RUNNER_TOKEN"),
        ({"runner_url": "HERE", "runner_token": "wrong"}, "", "runner_failed", "the same VEDETTE_RUNNER_TOKEN"),
        ({"runner_url": "HERE", "runner_token": TOKEN.get_secret_value()}, "install bubblewrap", "no_sandbox", "install bubblewrap"),
    ],
)  # fmt: skip
async def test_who_cannot_have_anything_built_is_told_the_fix(
    settings: dict[str, str], refusal: str, code: str, told: str
) -> None:
    async with runner(Settings(runner_token=TOKEN), refusal=refusal) as url:
        given = {name: url if value == "HERE" else value for name, value in settings.items()}
        with pytest.raises(Refused, match=told) as refused:
            await builds.built(Settings.model_validate(given), "code", "")
    assert (refused.value.status, refused.value.body["error"]) == (503, code)


async def test_a_runner_without_a_token_builds_for_nobody() -> None:
    async with runner(Settings()) as url, ClientSession() as session:
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
            async with session.post(f"{url}/builds", json={"code": "x"}, headers=headers) as answer:
                assert answer.status == 401


@pytest.mark.parametrize("body", ["", "[]", '{"code": 1}', '{"code": "x", "else": 1}'])
async def test_a_body_of_another_form_is_refused(body: str) -> None:
    async with runner(Settings(runner_token=TOKEN)) as url, ClientSession() as session:
        headers = {"authorization": f"Bearer {TOKEN.get_secret_value()}"}
        async with session.post(f"{url}/builds", data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]) == (400, "invalid_body")
