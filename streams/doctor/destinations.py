"""Destinations, asked without telling anybody anything: the api runs this, for it has the secrets that deliver has."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import aiosmtplib
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from schemas.documents.destination import EmailSpec
from sinks.egress import Egress
from sinks.mail import ADVICE, Mail
from sinks.message import clean
from sinks.pagerduty import PagerDuty
from sinks.sink import Permanent, Sink, Transient
from sinks.slack import INVITE, REMEDIES, Slack
from sinks.slack_webhook import SlackWebhook
from sinks.web import proxy_of
from sinks.webhook import Webhook, signed
from streams import destinations
from streams.doctor.result import Result, finding, ok, unknown
from streams.logic.configuration import Configuration
from streams.settings import Settings

ANSWER_S = 4.0
"""One destination may take so long."""
AT_ONCE = 20
SCOPE = "chat:write"
SCOPES_OF_CHANNELS = "give the app the scopes channels:read and groups:read to have its channel checked"
_CANNOT_LOOK = ("missing_scope", "no_permission", "unknown_method")
PAGES = 5
"""Of a thousand channels each, in which a channel is looked for by its name."""


async def check(configuration: Configuration, projects: Iterable[str], settings: Settings) -> list[Result]:
    """Returns what every destination of these projects says: secrets, connection, login, scopes, channel."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(project: str, name: str) -> Result:
        async with slots:
            return await _destination(configuration, project, name, settings)

    names = [
        (project, name) for project in projects for name in sorted(configuration.all_newest("Destination", project))
    ]
    return await asyncio.gather(*(one(project, name) for project, name in names))


async def check_own(settings: Settings) -> list[Result]:
    """Returns what the operator's mail server says; nothing without `VEDETTE_SMTP_URL`."""
    if settings.smtp_url is None:
        return []
    try:
        server = destinations.mail_by_url(settings.smtp_url, settings.smtp_from)
    except Permanent as refusal:
        return [finding("VEDETTE_SMTP_URL", refusal.reason, "correct it where the api and deliver run")]
    return [await _within("VEDETTE_SMTP_URL", server)]


async def _destination(configuration: Configuration, project: str, name: str, settings: Settings) -> Result:
    what = f"destination {name!r} of project {project}"
    try:
        spec = destinations.find(configuration, project, name)
        if spec is None or (isinstance(spec, EmailSpec) and spec.smtp is None and settings.smtp_url is not None):
            return ok(what, "by VEDETTE_SMTP_URL")
        sink = destinations.sink(spec, project, settings)
    except Permanent as refusal:
        return finding(what, *_parted(refusal.reason))
    return await _within(what, sink)


async def _within(what: str, sink: Sink) -> Result:
    try:
        async with asyncio.timeout(ANSWER_S):
            match sink:
                case Slack():
                    return await slack(what, sink)
                case Mail():
                    return await mail(what, sink)
                case PagerDuty():
                    return await reachable(what, sink.base_url, sink.egress)
                case SlackWebhook():
                    return await reachable(what, sink.url, sink.egress)
                case Webhook():
                    signed("", 0, b"", sink.secrets)
                    return await reachable(what, sink.url, sink.egress)
                case _:
                    return unknown(what, "nothing can be asked of its kind")
    except Permanent as refusal:
        return finding(what, *_parted(refusal.reason))
    except Transient as failure:
        return unknown(what, failure.reason)
    except TimeoutError:
        return unknown(what, f"no answer within {ANSWER_S:g} s")


def _parted(reason: str) -> tuple[str, str]:
    """A refusal says what is wrong, a colon, and what mends it."""
    value, _, fix = reason.partition(": ")
    return value, fix or "correct the destination's document and apply it again"


async def reachable(what: str, url: str, egress: Egress) -> Result:
    """Returns whether a server takes our connection. It knows no question without an alert: `vedette send-test` sends one."""
    host = urlsplit(url).hostname or ""
    connector = await egress.connector(url, proxied=proxy_of(url) is not None)
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(url, proxy=proxy_of(url), allow_redirects=False) as answer,
        ):
            return ok(what, f"{host} answers ({answer.status} to a request without an alert)")
    except (aiohttp.ClientError, OSError) as error:
        return finding(what, f"{host} cannot be reached: {type(error).__name__}", "check the destination's address")


async def mail(what: str, server: Mail) -> Result:
    """Returns how a mail server greets us: connection, EHLO, STARTTLS and login; nothing is sent."""
    where = f"{server.host}:{server.port}"
    try:
        async with await replace(server, timeout_s=ANSWER_S).server() as connection:
            await connection.ehlo()
    except aiosmtplib.SMTPAuthenticationError as error:  # its text might repeat what was sent
        return finding(what, f"{where} refuses the login ({error.code})", ADVICE["login"])
    except aiosmtplib.SMTPResponseException as error:
        return finding(what, f"{where} says {error.code} {clean(error.message, 200)}", ADVICE["server"])
    except (
        aiosmtplib.SMTPServerDisconnected,
        aiosmtplib.SMTPTimeoutError,
        aiosmtplib.SMTPConnectError,
        OSError,
    ) as error:
        return finding(what, f"{where} cannot be reached: {type(error).__name__}", ADVICE["server"])
    except aiosmtplib.SMTPException as error:
        return finding(what, f"{where}: {clean(error.message, 200)}", "check the destination's tls and login")
    login = f", login as {server.username}" if server.username else ""
    return ok(what, f"{where} greets us{'' if server.tls == 'none' else ', ' + server.tls}{login}")


async def slack(what: str, sink: Slack) -> Result:
    """Returns whether the token is good, may post, and reaches the channel; nothing is posted."""
    try:
        async with replace(sink, timeout_s=round(ANSWER_S)).client() as client:
            answer = await client.auth_test()
            scopes = _scopes(answer.headers)
            if scopes and SCOPE not in scopes:
                return finding(what, f"the token lacks the scope {SCOPE}", REMEDIES["missing_scope"])
            who = f"{answer.get('user', 'a bot')} in {answer.get('team', 'a workspace')}"
            return await _channel(what, sink, client, scopes, who)
    except SlackApiError as error:
        return _refused(what, str(error.response.get("error", "")))
    except (aiohttp.ClientError, TimeoutError, OSError, AttributeError, ValueError) as error:
        return unknown(what, f"Slack cannot be reached: {type(error).__name__}")


def _scopes(headers: Any) -> set[str]:
    """What `auth.test` answers in a header; empty when it does not tell."""
    told = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    return {scope.strip() for scope in told.split(",") if scope.strip()}


async def _channel(what: str, sink: Slack, client: AsyncWebClient, scopes: set[str], who: str) -> Result:
    try:
        channel = await _find(client, sink.channel)
    except SlackApiError as error:
        code = str(error.response.get("error", ""))
        if code in REMEDIES and code not in _CANNOT_LOOK:
            raise
        return unknown(what, f"{who}; whether it reaches {sink.channel} cannot be told", SCOPES_OF_CHANNELS)
    if channel is None:
        return finding(what, f"{who} sees no channel {sink.channel}", REMEDIES["channel_not_found"])
    if channel.get("is_archived"):
        return finding(what, f"{sink.channel} is archived", REMEDIES["is_archived"])
    if not channel.get("is_member") and not (SCOPE + ".public" in scopes and not channel.get("is_private")):
        return finding(what, f"{who} is not in {sink.channel}", INVITE)
    return ok(what, f"{who} reaches {sink.channel}")


async def _find(client: AsyncWebClient, channel: str) -> dict[str, Any] | None:
    """Slack tells of a channel by its id; by its name it has to be looked for."""
    if re.fullmatch(r"[CGD][A-Z0-9]{6,}", channel):
        answer = await client.conversations_info(channel=channel)
        return dict(answer["channel"])
    cursor, name = "", channel.removeprefix("#")
    for _ in range(PAGES):
        answer = await client.conversations_list(limit=1000, types="public_channel,private_channel", cursor=cursor)
        found: Sequence[dict[str, Any]] = answer["channels"]
        hit = next((one for one in found if one.get("name") == name), None)
        cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
        if hit or not cursor:
            return hit
    return None


def _refused(what: str, code: str) -> Result:
    code = code if re.fullmatch(r"[a-z0-9_]{1,60}", code) else ""
    if code in REMEDIES:
        return finding(what, f"Slack says {code}", REMEDIES[code])
    return unknown(what, f"Slack says {code or 'nothing that can be read'}")
