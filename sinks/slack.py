"""Slack: one message per alert, kept up to date, with every later change in its thread.

Web API: https://docs.slack.dev/reference/methods/chat.postMessage and chat.update; limits of blocks:
https://docs.slack.dev/reference/block-kit/blocks.
"""

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from sinks.message import Message, Sample
from sinks.sink import Permanent, Transient

HEADLINE_CHARS = 150
TEXT_CHARS = 3000
FIELD_CHARS = 2000
FIELDS = 10
BLOCKS = 50
URL_CHARS = 3000

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
    """A channel that a bot may write to. `base_url` names another server that speaks Slack's Web API."""

    token: str = field(repr=False)
    channel: str
    base_url: str | None = None
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
        answer = await self._call("chat.postMessage", {"channel": self.channel, **identified(message)})
        return f"{answer['channel']},{answer['ts']}"

    async def _follow_up(self, message: Message) -> str:
        """The update comes first: it may be repeated freely, and only the reply pages."""
        channel, _, ts = message.reference.partition(",")
        await self._call("chat.update", {"channel": channel, "ts": ts, **payload(message)})
        if not message.quiet:
            await self._call("chat.postMessage", {"channel": channel, "thread_ts": ts, **identified(message)})
        return message.reference

    async def _call(self, method: str, body: dict[str, Any]) -> Mapping[str, Any]:
        try:
            answer = await self._client().api_call(method, json=body)
        except SlackApiError as error:
            raise _failure(error.response) from None
        except aiohttp.InvalidURL:
            raise Permanent(f"{self.base_url!r} is no URL: correct the destination's base_url") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient(f"Slack cannot be reached: {type(error).__name__}") from None
        except (AttributeError, ValueError):  # what slack_sdk makes of an answer that is no JSON object
            raise Transient("Slack's answer cannot be read: is something between us and Slack?") from None
        return dict(answer.data) if isinstance(answer.data, dict) else {}

    def _client(self) -> AsyncWebClient:
        if not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise Permanent(
                "the bot token holds characters that no token has: check the variable that the destination names"
            )
        base_url = self.base_url or AsyncWebClient.BASE_URL
        client = AsyncWebClient(token=self.token, base_url=base_url, timeout=self.timeout_s, retry_handlers=[])
        client.proxy = _proxy(base_url)  # slack_sdk's own choice ignores NO_PROXY
        return client


class _Gone(Permanent):
    """The message to follow up on is gone."""


def payload(message: Message) -> dict[str, Any]:
    """Returns what Slack shows: the headline, and under a colour bar the cause, the facts, some matches and links."""
    attachment = {
        "color": COLOURS[message.state],
        "fallback": _text(message.headline, HEADLINE_CHARS),
        "blocks": _blocks(message),
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


def identified(message: Message) -> dict[str, Any]:
    """Returns the payload with the message's identity, by which a repeated one can be recognised."""
    told = {"id": message.identity, "project": message.project, "alert_id": message.alert_id, "change": message.change}
    return {**payload(message), "metadata": {"event_type": "vedette_alert", "event_payload": told}}


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


def _blocks(message: Message) -> list[dict[str, Any]]:
    blocks = [
        {"type": "section", "text": _plain(message.cause)},
        *_fact_blocks(message.facts),
        *(_sample_block(sample) for sample in message.samples),
        {"type": "actions", "elements": [_link("Open alert", message.url)]},
        {"type": "context", "elements": [_plain(f"Vedette · {message.project} · alert {message.alert_id}")]},
    ]
    return blocks[:BLOCKS]


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


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _failure(response: Any) -> Transient | Permanent:
    """Tells the two kinds apart. Only Slack's own short code enters a reason: nothing that could hold the token."""
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    data = getattr(response, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    code = code if re.fullmatch(r"[a-z0-9_]{1,60}", code) else ""
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return Transient("Slack asks to slow down", _retry_after(response.headers))
    if status >= 500 or status == 408:
        return Transient(f"Slack answers {status}")
    if code in GONE:
        return _Gone(f"Slack says {code}: the alert's first message can no longer be changed")
    if code in REMEDIES:
        return Permanent(f"Slack says {code}: {REMEDIES[code]}")
    if code or status == 200:
        return Transient(f"Slack says {code or 'nothing that can be read'}")
    return Permanent(f"Slack's server answers {status}: check the destination's base_url")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(text) if re.fullmatch(r"\d{1,9}", text.strip()) else None
