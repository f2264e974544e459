"""PagerDuty: one incident per rule and group, by the Events API v2.

https://developer.pagerduty.com/docs/send-alert-event
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.ids import hashed
from sinks import web
from sinks.egress import PUBLIC, Egress
from sinks.message import Message, cut, iso
from sinks.sink import Permanent

BASE_URL = "https://events.pagerduty.com"
SUMMARY_CHARS = 1024
DEDUP_CHARS = 255
SOURCE_CHARS = 255
DETAIL_CHARS = 2000
MOST_BYTES = 500_000
"""PagerDuty refuses events above 512 KB."""
ACTIONS = {
    "fired": "trigger",
    "renotified": "trigger",
    "snoozed": "trigger",  # the snooze is over
    "acknowledged": "acknowledge",
    "resolved": "resolve",
}
SEVERITIES = {"critical": "critical", "warning": "warning", "info": "info"}
REMEDY = "check the integration key that the destination's routing_key names (Events API v2)"


@dataclass(frozen=True)
class PagerDuty:
    """A service's integration key. `base_url` names another server that speaks the Events API."""

    routing_key: str = field(repr=False)
    base_url: str = BASE_URL
    egress: Egress = PUBLIC
    timeout_s: float = 10

    async def send(self, message: Message) -> str:
        """Triggers, acknowledges or resolves the incident of the message's rule and group, and returns its dedup key.

        A repeated event changes nothing: the dedup key is the same.

        Raises:
            Transient: PagerDuty is away or asks to slow down.
            Permanent: PagerDuty refuses; the reason says what to do.

        """
        body = orjson.dumps({"routing_key": self.routing_key, **event(message)})
        url = f"{self.base_url.rstrip('/')}/v2/enqueue"
        headers = {"content-type": "application/json"}
        answer = await web.post(url, body, headers, self.egress, self.timeout_s, "PagerDuty")
        if answer.status == 202 or answer.status == 200:
            return dedup_key(message)
        if answer.status == 400:
            raise Permanent(f"PagerDuty answers 400: {REMEDY}")
        raise web.failure(answer, "PagerDuty", REMEDY)


def dedup_key(message: Message) -> str:
    """Returns what names the incident: project, rule and group, hashed when that is too long."""
    key = f"vedette:{message.project}:{message.rule}:{message.group_key}"
    return key if len(key) <= DEDUP_CHARS else f"vedette:{hashed(message.project, message.rule, message.group_key)}"


def event(message: Message) -> dict[str, Any]:
    """Returns the event without its routing key. What acknowledges or resolves needs no payload.

    A snooze acknowledges: PagerDuty stops asking until the alert is told again.
    """
    action = "acknowledge" if message.quiet else ACTIONS[message.kind]
    named = {"event_action": action, "dedup_key": dedup_key(message)}
    if action != "trigger":
        return named
    links = [{"href": message.url, "text": "Open alert"}]
    links += [
        {"href": sample.url, "text": f"Open trace of {sample.subject}"} for sample in message.samples if sample.url
    ]
    payload = {
        "summary": cut(message.headline, SUMMARY_CHARS),
        "source": cut(f"vedette/{message.project}", SOURCE_CHARS),
        "severity": SEVERITIES.get(message.severity, "error"),
        "timestamp": iso(message.at_ms),
        "component": cut(message.rule, SOURCE_CHARS),
        "class": "agent behaviour",
        "custom_details": _details(message),
    }
    return {**named, "client": "Vedette", "client_url": message.url, "links": links, "payload": payload}


def _details(message: Message) -> dict[str, str]:
    if message.text:
        return {"text": cut(message.text, 10 * DETAIL_CHARS)}
    samples = {f"Match {n}": f"{sample.reason} ({sample.subject})" for n, sample in enumerate(message.samples, 1)}
    told = {"Cause": message.cause, **dict(message.facts), **samples}
    return {name: cut(value, DETAIL_CHARS) for name, value in told.items()}
