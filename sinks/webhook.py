"""Webhooks: signed requests to a program of yours, as Standard Webhooks 1.0.0 describes them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, Field

from sinks import web
from sinks.egress import PUBLIC, Egress
from sinks.message import Message, iso
from sinks.sink import Permanent

PREFIX = "whsec_"
LEAST_KEY_BYTES = 16
REMEDY = "see what your server says to it"
GONE = "your server says that nobody lives here any more: remove the destination or correct its url"


class Sample(BaseModel):
    """One match."""

    subject: str = Field(description="kind and id")
    reason: str
    url: str = Field(description="of its trace; empty when there is none")


class Alert(BaseModel):
    """An alert as it is after the change."""

    id: str
    project: str
    rule: str
    group: dict[str, str] = Field(description="the values of group_by")
    state: Literal["firing", "acknowledged", "resolved"]
    severity: Literal["info", "warning", "critical"]
    change: int = Field(
        description="counts the alert's changes, 0 is its firing: what comes late or twice is told by it"
    )
    headline: str
    cause: str
    text: str = Field(description="of the destination's template; empty without one")
    facts: dict[str, str]
    samples: list[Sample] = Field(description="at most three of the newest matches")
    url: str


class AlertEvent(BaseModel):
    """The body of a webhook."""

    type: Literal["alert.fired", "alert.renotified", "alert.acknowledged", "alert.snoozed", "alert.resolved"]
    timestamp: str = Field(description="when the alert changed, ISO 8601 in UTC")
    data: Alert


@dataclass(frozen=True)
class Webhook:
    """A URL and the secrets that sign: the newest first, and while it changes also the one before."""

    url: str
    secrets: tuple[str, ...] = field(repr=False)
    egress: Egress = PUBLIC
    timeout_s: float = 10
    clock: Callable[[], float] = time.time
    """Seconds since 1970: receivers refuse what was signed more than five minutes ago."""

    async def send(self, message: Message) -> str:
        """Posts the change and returns its `webhook-id`, which is the same in every attempt.

        Raises:
            Transient: the server is away, says 429 or 5xx.
            Permanent: the address is not allowed or the server refuses; the reason says what to do.

        """
        body = payload(message)
        headers = signed(message.identity, int(self.clock()), body, self.secrets)
        who = f"the webhook at {urlsplit(self.url).hostname}"
        answer = await web.post(self.url, body, headers, self.egress, self.timeout_s, who)
        if 200 <= answer.status < 300:
            return message.identity
        raise web.failure(answer, who, GONE if answer.status == 410 else REMEDY)


def payload(message: Message) -> bytes:
    """Returns the body: JSON of `AlertEvent`."""
    samples = [{"subject": one.subject, "reason": one.reason, "url": one.url} for one in message.samples]
    data: dict[str, Any] = {
        "id": message.alert_id,
        "project": message.project,
        "rule": message.rule,
        "group": orjson.loads(message.group_key),
        "state": message.state,
        "severity": message.severity,
        "change": message.change,
        "headline": message.headline,
        "cause": message.cause,
        "text": message.text,
        "facts": dict(message.facts),
        "samples": samples,
        "url": message.url,
    }
    return orjson.dumps({"type": f"alert.{message.kind}", "timestamp": iso(message.at_ms), "data": data})


def signed(identity: str, at_s: int, body: bytes, secrets: tuple[str, ...]) -> dict[str, str]:
    """Returns the headers of a request: its id, its time and one signature for every secret.

    Raises:
        Permanent: a secret is none.

    """
    content = f"{identity}.{at_s}.".encode() + body
    signatures = [hmac.new(_key(secret), content, hashlib.sha256).digest() for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": "Vedette",
        "webhook-id": identity,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
    }


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < LEAST_KEY_BYTES:
        raise Permanent(
            "the webhook's secret is none: it is whsec_ and the base64 of 24 to 64 random bytes, "
            "for example `printf whsec_; openssl rand -base64 32`"
        )
    return key
