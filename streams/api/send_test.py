"""A test message to a destination, to each of its recipients: the api sends it, for it has the secrets that deliver has."""

import asyncio
from dataclasses import dataclass

from schemas.documents.destination import DestinationSpec
from sinks import template
from sinks.message import Message, compose
from sinks.pagerduty import PagerDuty
from sinks.sink import Permanent, Transient
from sinks.testing import FIRED, RULE
from streams import destinations
from streams.logic import delivery as deliveries
from streams.settings import Settings

ATTEMPT_S = 15.0
CAUSE = "This is a test of the destination: nothing fired."


@dataclass(frozen=True)
class Outcome:
    """What became of one recipient's test message."""

    recipient: str
    state: str
    """sent or failed"""
    reason: str = ""


async def send(spec: DestinationSpec, project: str, name: str, settings: Settings, identity: str, now_ms: int) -> list[Outcome]:  # fmt: skip
    """Tells every recipient of a destination a test alert, once. `identity` makes it a message of its own."""

    async def one(recipient: str) -> Outcome:
        try:
            return await _sent(spec, project, name, settings, recipient, identity, now_ms)
        except (Transient, Permanent) as failure:
            return Outcome(recipient, "failed", failure.reason)
        except TimeoutError:
            return Outcome(recipient, "failed", f"no answer within {ATTEMPT_S:g} s")

    return await asyncio.gather(*(one(recipient) for recipient in deliveries.recipients(spec)))


async def _sent(spec: DestinationSpec, project: str, name: str, settings: Settings, recipient: str, identity: str, now_ms: int) -> Outcome:  # fmt: skip
    sink = destinations.sink(spec, project, settings)
    message, note = template.applied(
        _message(project, name, settings.public_url, recipient, identity, now_ms), spec.template
    )
    async with asyncio.timeout(ATTEMPT_S):
        await sink.send(message)
        if isinstance(sink, PagerDuty):  # nobody is to be left with an incident
            await sink.send(_message(project, name, settings.public_url, recipient, identity, now_ms, "resolved"))
    return Outcome(recipient, "sent", note)


def _message(project: str, name: str, public_url: str, recipient: str, identity: str, now_ms: int, kind: str = "fired") -> Message:  # fmt: skip
    told = {
        "project": project,
        "rule": f"Test of {name}",
        "alert_id": identity,
        "kind": kind,
        "state": "resolved" if kind == "resolved" else "firing",
        "severity": "info",
        "fired_at": now_ms,
        "changed_at": now_ms,
        "cooldown_until": 0,
        "cause": CAUSE,
        "evidence": (),
    }
    return compose(FIRED.model_copy(update=told), RULE, public_url, recipient)
