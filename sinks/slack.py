"""Slack: one message per alert, kept up to date, with every later change in its thread.

Web API: https://docs.slack.dev/reference/methods/chat.postMessage and chat.update; limits of blocks:
https://docs.slack.dev/reference/block-kit/blocks.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from sinks.egress import PUBLIC, Egress
from sinks.message import Message, Sample
from sinks.sink import Permanent, Transient
from sinks.web import proxy_of, retry_after

HEADLINE_CHARS = 150
TEXT_CHARS = 3000
FIELD_CHARS = 2000
FIELDS = 10
BLOCKS = 50
URL_CHARS = 3000
PACE_S = 1.0
"""Slack takes one message a second in a channel: https://docs.slack.dev/apis/web-api/rate-limits."""

BUTTONS = {"acknowledge": "Acknowledge", "snooze": "Snooze 1 h", "resolve": "Resolve"}
"""By action; the api hears the clicks. Of an acknowledged alert the first is left out, of a resolved one all."""
ACTION_PREFIX = "vedette_"

COLOURS = {"firing": "#d72b3f", "acknowledged": "#e8a723", "resolved": "#2eb67d"}

INVITE = "invite the app to the channel with /invite"
REINSTALL = "install the Slack app again and store its new bot token"
REMEDIES = {
    "channel_not_found": "check the destination's channel (its id is safest) and " + INVITE,
    "not_in_channel": INVITE,
    "is_archived": "unarchive the channel or name another in the destination",
    "invalid_auth": "check the bot token that the destination names",
    "not_authed": "check the bot token that the destination names",
    "token_revoked": REINSTALL,
    "token_expired": REINSTALL,
    "account_inactive": REINSTALL,
    "org_login_required": "the workspace moves to another organization: log in there and install the app again",
    "missing_scope": "give the Slack app the scope chat:write and install it again",
    "no_permission": "give the Slack app the scope chat:write and install it again",
    "not_allowed_token_type": "use a bot token (xoxb-…)",
    "access_denied": "ask an admin of the workspace to allow the app",
    "ekm_access_denied": "ask an admin of the workspace to allow the app",
    "team_access_not_granted": "ask an admin of the workspace to allow the app",
    "restricted_action": "ask an admin of the workspace to let the app post in this channel",
    "restricted_action_read_only_channel": "the channel is read-only: name another in the destination",
    "restricted_action_thread_only_channel": "the channel takes only threads: name another in the destination",
    "restricted_action_non_threadable_channel": "the channel takes no threads: name another in the destination",
    "cannot_reply_to_message": "the channel takes no threads: name another in the destination",
    "messages_tab_disabled": "the app takes no direct messages: name a channel in the destination",
    "team_not_found": "check the bot token that the destination names",
    "two_factor_setup_required": "set up two-factor authentication for the token's account",
    "enterprise_is_restricted": "use a token of the workspace instead of the organization",
    "msg_too_long": "shorten the rule's name and the reasons that its scorers give",
    "msg_blocks_too_long": "shorten the rule's name and the reasons that its scorers give",
    "invalid_blocks": "check that VEDETTE_PUBLIC_URL is an http(s) URL",
    "invalid_blocks_format": "check that VEDETTE_PUBLIC_URL is an http(s) URL",
    "invalid_attachments": "check that VEDETTE_PUBLIC_URL is an http(s) URL",
    "unknown_method": "check the destination's base_url",
}
"""Slack's refusals that no retry changes, and what does. Everything else that it says may pass."""

GONE = {"message_not_found", "cant_update_message", "thread_not_found", "edit_window_closed"}
"""The alert's first message can no longer be changed: the next one starts anew."""

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True)
class Slack:
    """A channel that a bot may write to. `base_url` names another server that speaks Slack's Web API.

    With `buttons` people acknowledge, snooze and resolve in Slack: somebody has to hear the clicks (`streams/api/clicks.py`).
    """

    token: str = field(repr=False)
    channel: str
    base_url: str | None = None
    buttons: bool = False
    egress: Egress = PUBLIC
    timeout_s: int = 10

    async def send(self, message: Message) -> str:
        """Posts the alert's first message, or updates it and replies in its thread. Returns "channel,ts" of the first one.

        Slack has no idempotent post: after a lost answer the message may come twice, both with the same id in their metadata.

        Raises:
            Transient: Slack is away, slow or asks to slow down.
            Permanent: Slack refuses; the reason says what to do.

        """
        if not message.reference:
            return await self._post(message)
        try:
            return await self._follow_up(message)
        except _Gone:
            if message.quiet:
                raise
            return await self._post(message)

    async def _post(self, message: Message) -> str:
        answer = await self._call(
            "chat.postMessage", {"channel": self.channel, **identified(message, buttons=self.buttons)}
        )
        return f"{answer['channel']},{answer['ts']}"

    async def _follow_up(self, message: Message) -> str:
        """The update comes first: it may be repeated freely, and only the reply pages."""
        channel, _, ts = message.reference.partition(",")
        await self._call("chat.update", {"channel": channel, "ts": ts, **payload(message, buttons=self.buttons)})
        if not message.quiet:
            await self._call("chat.postMessage", {"channel": channel, "thread_ts": ts, **identified(message)})
        return message.reference

    async def _call(self, method: str, body: dict[str, Any]) -> Mapping[str, Any]:
        try:
            async with self.client() as client:
                answer = await client.api_call(method, json=body)
        except SlackApiError as error:
            raise _failure(error.response) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient(f"Slack cannot be reached: {type(error).__name__}") from None
        except (AttributeError, ValueError):  # what slack_sdk makes of an answer that is no JSON object
            raise Transient("Slack's answer cannot be read: is something between us and Slack?") from None
        return dict(answer.data) if isinstance(answer.data, dict) else {}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncWebClient]:
        """Opens Slack's own client, which connects to checked addresses only and tries nothing again.

        Raises:
            Transient: Slack's name does not resolve.
            Permanent: token or `base_url` are none, or nothing may be sent there.

        """
        if not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise Permanent(
                "the bot token holds characters that no token has: check the variable that the destination names"
            )
        base_url = self.base_url or AsyncWebClient.BASE_URL
        proxy = proxy_of(base_url)
        connector = await self.egress.connector(base_url, proxied=proxy is not None)
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            client = AsyncWebClient(self.token, base_url, self.timeout_s, session=session, retry_handlers=[])
            client.proxy = proxy  # slack_sdk's own choice ignores NO_PROXY
            yield client


class _Gone(Permanent):
    """The message to follow up on is gone."""


def payload(message: Message, *, buttons: bool = False) -> dict[str, Any]:
    """Returns what Slack shows: the headline, and under a colour bar the cause, the facts, some matches, links and buttons."""
    attachment = {
        "color": COLOURS[message.state],
        "fallback": _text(message.headline, HEADLINE_CHARS),
        "blocks": _blocks(message, buttons=buttons),
    }
    return {
        "text": _text(message.headline, HEADLINE_CHARS),
        "attachments": [attachment],
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def identified(message: Message, *, buttons: bool = False) -> dict[str, Any]:
    """Returns the payload with the message's identity, by which a repeated one can be recognised."""
    told = {"id": message.identity, "project": message.project, "alert_id": message.alert_id, "change": message.change}
    return {**payload(message, buttons=buttons), "metadata": {"event_type": "vedette_alert", "event_payload": told}}


def escape(text: str, limit: int) -> str:
    """Returns `text` so that Slack reads no mention, link or entity in it, in at most `limit` characters.

    >>> escape("<!channel> pay", 100)
    '&lt;!channel&gt; pay'
    """
    pieces = [_ESCAPES.get(character, character) for character in text]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    kept, room = [], limit - 1
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def _text(text: str, limit: int) -> str:
    return escape(text, limit) or "-"  # Slack refuses empty texts


def _plain(text: str, limit: int = TEXT_CHARS) -> dict[str, Any]:
    return {"type": "plain_text", "text": _text(text, limit), "emoji": False}


def _blocks(message: Message, *, buttons: bool) -> list[dict[str, Any]]:
    clickable = _buttons(message) if buttons else []
    blocks = [
        *([{"type": "section", "text": _plain(message.text)}] if message.text else _standard(message)),
        {"type": "actions", "elements": [_link("Open alert", message.url), *clickable]},
        {"type": "context", "elements": [_plain(f"Vedette · {message.project} · alert {message.alert_id}")]},
    ]
    return blocks[:BLOCKS]


def _standard(message: Message) -> list[dict[str, Any]]:
    return [
        {"type": "section", "text": _plain(message.cause)},
        *_fact_blocks(message.facts),
        *(_sample_block(sample) for sample in message.samples),
    ]


def _buttons(message: Message) -> list[dict[str, Any]]:
    """What a click brings back is the alert; who may change it is decided by whoever hears the click."""
    value = orjson.dumps({"project": message.project, "alert": message.alert_id}).decode()
    left_out = {"firing": (), "acknowledged": ("acknowledge",)}.get(message.state, tuple(BUTTONS))
    return [
        {"type": "button", "text": _plain(label, 75), "action_id": ACTION_PREFIX + action, "value": value}
        for action, label in BUTTONS.items()
        if action not in left_out
    ]


def _fact_blocks(facts: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    fields = [_fact(name, value) for name, value in facts]
    return [{"type": "section", "fields": fields[i : i + FIELDS]} for i in range(0, len(fields), FIELDS)]


def _fact(name: str, value: str) -> dict[str, Any]:
    text = f"*{_text(name, 100)}*\n{_text(value, FIELD_CHARS - 110)}"
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _sample_block(sample: Sample) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "section", "text": _plain(f"{sample.reason}\n{sample.subject}")}
    return {**block, "accessory": _link("Open trace", sample.url)} if 0 < len(sample.url) <= URL_CHARS else block


def _link(label: str, url: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(label, 75), "url": url}


def _failure(response: Any) -> Transient | Permanent:
    """Tells the two kinds apart. Only Slack's own short code enters a reason: nothing that could hold the token."""
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    data = getattr(response, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    code = code if re.fullmatch(r"[a-z0-9_]{1,60}", code) else ""
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return Transient("Slack asks to slow down", retry_after(response.headers))
    if status >= 500 or status == 408:
        return Transient(f"Slack answers {status}")
    if code in GONE:
        return _Gone(f"Slack says {code}: the alert's first message can no longer be changed")
    if code in REMEDIES:
        return Permanent(f"Slack says {code}: {REMEDIES[code]}")
    if code or status == 200:
        return Transient(f"Slack says {code or 'nothing that can be read'}")
    return Permanent(f"Slack's server answers {status}: check the destination's base_url")
