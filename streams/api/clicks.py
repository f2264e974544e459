"""Buttons in Slack: the api hears the clicks through Socket Mode and tells the alert what `vedette alerts` would tell it.

https://docs.slack.dev/apis/events-api/using-socket-mode. One connection for every app token that a destination names.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import orjson
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from schemas.documents.destination import SlackSpec
from schemas.rule import CommandAction
from sinks import web
from sinks.egress import Egress
from sinks.message import clean
from sinks.sink import Permanent, Transient
from sinks.slack import ACTION_PREFIX, BUTTONS, REMEDIES, Slack
from streams import destinations
from streams.api.alerts import Alerts
from streams.api.errors import Refused
from streams.api.publish import NotWritten
from streams.logic.configuration import Configuration
from streams.secret import resolve
from streams.settings import Settings

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
SNOOZE_MS = 3_600_000
REFUSED_PAUSE_S = 60.0
"""A token that Slack refuses is tried no more often."""
ANSWER_S = 5.0


class TellAlert(Protocol):
    """What a click becomes: `streams.api.commands.command` with its services."""

    def __call__(
        self, alert_id: str, action: CommandAction, by: str = "", note: str = "", until: int = 0
    ) -> Awaitable[Any]: ...


@dataclass(frozen=True)
class App:
    """A Slack app: its app-level token and where it connects."""

    token: str = field(repr=False)
    base_url: str | None = None


@dataclass(frozen=True)
class Click:
    """Somebody pressed a button of ours."""

    action: CommandAction
    project: str
    alert_id: str
    by: str
    response_url: str = ""
    """Where Slack takes an answer that only this person sees."""


def wanted(configuration: Configuration, settings: Settings) -> dict[App, frozenset[str]]:
    """Returns the apps that destinations name, each with the projects whose destinations do: it may change alerts of these alone."""
    found: dict[App, frozenset[str]] = {}
    for project in configuration.projects():
        for name in configuration.all_newest("Destination", project):
            app = _app(configuration, project, name, settings)
            if app is not None:
                found[app] = found.get(app, frozenset()) | {project}
    return found


def _app(configuration: Configuration, project: str, name: str, settings: Settings) -> App | None:
    try:
        spec = destinations.find(configuration, project, name)
        if not isinstance(spec, SlackSpec) or spec.app_token is None:
            return None
        return App(resolve(spec.app_token, project, settings), spec.base_url)
    except Permanent as refusal:
        log.warning("no buttons", project=project, destination=name, reason=refusal.reason)
        return None


def clicked(payload: Mapping[str, Any]) -> Click | None:
    """Returns the click that Slack tells of, or None when it is none of ours."""
    action: Mapping[str, Any] = next(iter(payload.get("actions") or ()), {})
    name = str(action.get("action_id", "")).removeprefix(ACTION_PREFIX)
    if payload.get("type") != "block_actions" or name not in BUTTONS:
        return None
    try:
        value = orjson.loads(action.get("value") or b"")
        project, alert_id = str(value["project"]), str(value["alert"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    user = payload.get("user") or {}
    who = clean(str(user.get("username") or user.get("name") or user.get("id") or "somebody"), 100)
    return Click(name, project, alert_id, f"{who} (Slack)", str(payload.get("response_url") or ""))  # type: ignore[arg-type]


@dataclass
class Clicks:
    """The connections, and what becomes of the clicks."""

    configuration: Callable[[], Configuration]
    settings: Settings
    alerts: Alerts
    tell: TellAlert
    _projects: dict[App, frozenset[str]] = field(default_factory=dict)
    _open: dict[App, asyncio.Task[None]] = field(default_factory=dict)
    _doing: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Keeps the connections that the configuration names, until it is cancelled."""
        revision = -1
        try:
            while True:
                configuration = self.configuration()
                if configuration.revision != revision:
                    revision = configuration.revision
                    self._keep(await asyncio.to_thread(wanted, configuration, self.settings))
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._keep({})

    def _keep(self, apps: Mapping[App, frozenset[str]]) -> None:
        self._projects = dict(apps)
        for app in self._open.keys() - apps.keys():
            self._open.pop(app).cancel()
        for app in apps.keys() - self._open.keys():
            self._open[app] = asyncio.create_task(self._listen(app))

    async def _listen(self, app: App) -> None:
        client = _Client(app, destinations.egress(self.settings))

        async def hear(_: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
            click = clicked(request.payload) if request.type == "interactive" else None
            if click is not None:
                doing = asyncio.create_task(self._do(app, click))
                self._doing.add(doing)
                doing.add_done_callback(self._doing.discard)

        client.socket_mode_request_listeners.append(hear)
        try:
            await client.connect()  # type: ignore[no-untyped-call]
            await asyncio.Event().wait()
        finally:
            await client.close()  # type: ignore[no-untyped-call]

    async def _do(self, app: App, click: Click) -> None:
        """Does what was clicked; the message in Slack changes when the alert has. Whoever clicked is told why nothing happened."""
        try:
            self._check(app, click)
            until = time.time_ns() // 1_000_000 + SNOOZE_MS if click.action == "snooze" else 0
            await self.tell(click.alert_id, click.action, click.by, "", until)
            log.info("clicked", action=click.action, alert=click.alert_id, by=click.by)
        except Refused as refused:
            await self._answer(click, str(refused.body.get("message", "")))
        except NotWritten as error:
            await self._answer(click, f"{error}; click again")

    def _check(self, app: App, click: Click) -> None:
        """What a button says may be written by whoever has the app: it changes alerts of the app's own projects alone."""
        alert = self.alerts.newest(click.alert_id)
        allowed = self._projects.get(app, frozenset())
        if alert is None or alert.project != click.project or alert.project not in allowed:
            raise Refused(404, "not_found", "this alert is unknown or long over")

    async def _answer(self, click: Click, why: str) -> None:
        log.info("a click changed nothing", action=click.action, alert=click.alert_id, by=click.by, reason=why)
        if not click.response_url:
            return
        said = {"response_type": "ephemeral", "replace_original": False, "text": clean(why, 500)}
        headers, egress = {"content-type": "application/json"}, destinations.egress(self.settings)
        try:
            await web.post(click.response_url, orjson.dumps(said), headers, egress, ANSWER_S, "Slack")
        except (Transient, Permanent) as failure:
            log.warning("Slack does not take an answer to a click", reason=failure.reason)


class _Client(SocketModeClient):
    """slack-sdk's client, which connects anew by itself; each connection goes to checked addresses."""

    def __init__(self, app: App, egress: Egress) -> None:
        quiet = logging.getLogger("vedette.slack")  # it logs a traceback at every attempt: ours says what is wrong
        quiet.setLevel(logging.CRITICAL + 1)
        super().__init__(app.token, logger=quiet)
        self._slack = Slack(app.token, "", app.base_url, egress=egress)

    async def issue_new_wss_url(self) -> str:
        """Asks Slack where to connect, and prepares the connection to there and nowhere else."""
        try:
            async with self._slack.client() as web_client:
                self.web_client = web_client
                url = await super().issue_new_wss_url()
            self.proxy = web.proxy_of(re.sub("^ws", "http", url))
            connector = await self._slack.egress.connector(url, proxied=self.proxy is not None)
        except SlackApiError as error:
            code = str(error.response.get("error", ""))
            log.warning("no buttons", reason=f"Slack says {code}: {REMEDIES.get(code, 'see its documentation')}")
            await asyncio.sleep(REFUSED_PAUSE_S)
            raise
        except (Transient, Permanent, aiohttp.ClientError, OSError) as error:
            log.warning("no buttons", reason=str(error))
            raise
        await self.aiohttp_client_session.close()
        self.aiohttp_client_session = aiohttp.ClientSession(connector=connector)
        return url
