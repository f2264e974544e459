"""Buttons in Slack, through slack-sdk's own Socket Mode client and a server that speaks the protocol."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from schemas.config import ConfigEntry
from sinks.testing import FIRED
from streams.api.alerts import Alerts
from streams.api.clicks import SNOOZE_MS, Clicks, clicked, wanted
from streams.api.errors import Refused
from streams.logic.configuration import Configuration
from streams.settings import Settings
from tests.support.socket_mode import TOKEN, SocketMode, socket_mode

SETTINGS = Settings(env_allow={"*": ["BOT", "APP"]}, private_networks=["127.0.0.0/8"])


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP", TOKEN)
    monkeypatch.setenv("BOT", "xoxb-1")


def configure(configuration: Configuration, base_url: str, project: str = "default", *, deleted: bool = False) -> None:
    spec = {
        "type": "slack",
        "token": {"env": "BOT"},
        "app_token": {"env": "APP"},
        "channel": "#a",
        "base_url": base_url,
    }
    entry = ConfigEntry(
        project=project, kind="Destination", name="s", version="1", spec=orjson.dumps(spec), deleted=deleted
    )
    configuration.apply(entry, 0)


class Told:
    """What alerts were told; each call first uses up one refusal."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str, str, int]] = []
        self.refusals: list[Refused] = []

    async def __call__(self, alert_id: str, action: str, by: str = "", note: str = "", until: int = 0) -> Any:  # noqa: ARG002
        if self.refusals:
            raise self.refusals.pop()
        self.commands.append((alert_id, action, by, until))


@asynccontextmanager
async def hearing(configuration: Configuration, told: Told) -> AsyncIterator[Clicks]:
    alerts = Alerts()
    alerts.take(FIRED)
    alerts.take(FIRED.model_copy(update={"project": "other", "alert_id": "theirs"}))
    clicks = Clicks(lambda: configuration, SETTINGS, alerts, told)
    running = asyncio.create_task(clicks.run())
    try:
        yield clicks
    finally:
        running.cancel()
        await asyncio.gather(running, *clicks._open.values(), return_exceptions=True)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not done():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(told: Told) -> AsyncIterator[tuple[SocketMode, Configuration]]:
    configuration = Configuration()
    async with socket_mode() as server:
        configure(configuration, server.url)
        async with hearing(configuration, told):
            async with asyncio.timeout(8):
                await server.connected.wait()
            yield server, configuration


async def test_a_click_tells_the_alert_what_the_command_line_would() -> None:
    told = Told()
    async with connected(told) as (server, _):
        for action in ("acknowledge", "snooze", "resolve"):
            await server.click(action, "default", FIRED.alert_id)
        await until(lambda: len(told.commands) == 3)
    now = time.time_ns() // 1_000_000
    assert server.tokens == [TOKEN]
    assert [command[:3] for command in told.commands] == [
        (FIRED.alert_id, action, "ada (Slack)") for action in ("acknowledge", "snooze", "resolve")
    ]
    assert told.commands[0][3] == told.commands[2][3] == 0
    assert now < told.commands[1][3] <= now + SNOOZE_MS
    assert server.answers == []


async def test_whoever_clicked_in_vain_is_told_why() -> None:
    told = Told()
    told.refusals.append(Refused(409, "resolved", "alert a1 is resolved: no match for 30m"))
    async with connected(told) as (server, _):
        await server.click("acknowledge", "default", FIRED.alert_id)
        await until(lambda: len(server.answers) == 1)
    (answer,) = server.answers
    assert (answer["text"], answer["response_type"], answer["replace_original"]) == (
        "alert a1 is resolved: no match for 30m", "ephemeral", False,
    )  # fmt: skip


@pytest.mark.parametrize(("project", "alert"), [("other", "theirs"), ("default", "theirs"), ("default", "unknown")])
async def test_an_app_changes_alerts_of_its_own_projects_alone(project: str, alert: str) -> None:
    """What a button says may be forged by whoever may post with the app."""
    told = Told()
    async with connected(told) as (server, _):
        await server.click("resolve", project, alert)
        await until(lambda: len(server.answers) == 1)
    assert told.commands == []


async def test_a_lost_connection_is_made_anew_and_a_deleted_destination_hears_no_more() -> None:
    told = Told()
    async with connected(told) as (server, configuration):
        server.connected.clear()
        await server.sockets[0].close()
        async with asyncio.timeout(15):
            await server.connected.wait()
        await server.click("resolve", "default", FIRED.alert_id)
        await until(lambda: len(told.commands) == 1)
        configure(configuration, server.url, deleted=True)
        await until(lambda: server.sockets[-1].closed)


def test_apps_are_shared_by_projects_and_secrets_that_cannot_be_read_leave_the_rest() -> None:
    configuration = Configuration()
    configure(configuration, "http://127.0.0.1:1/api/")
    configure(configuration, "http://127.0.0.1:1/api/", "other")
    (app,) = wanted(configuration, SETTINGS)
    assert wanted(configuration, SETTINGS) == {app: frozenset({"default", "other"})}
    assert "secret" not in repr(app)
    assert wanted(configuration, Settings()) == {}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "view_submission"},
        {"type": "block_actions"},
        {"type": "block_actions", "actions": [{"action_id": "other", "value": "{}"}]},
        {"type": "block_actions", "actions": [{"action_id": "vedette_resolve"}]},
        {"type": "block_actions", "actions": [{"action_id": "vedette_resolve", "value": "no json"}]},
        {"type": "block_actions", "actions": [{"action_id": "vedette_resolve", "value": "[]"}]},
        {"type": "block_actions", "actions": [{"action_id": "vedette_delete", "value": '{"project":"p","alert":"a"}'}]},
    ],
)
def test_what_is_no_click_of_ours_is_left_alone(payload: dict[str, Any]) -> None:
    assert clicked(payload) is None
