"""What people tell alerts: a command goes to the counter as a rule event and is answered when the counter has written the change."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from confluent_kafka import KafkaError, Message
from pydantic import AwareDatetime, Field, model_validator

from schemas.alert import AlertChange
from schemas.codec import encode
from schemas.documents.base import Duration, Strict
from schemas.ids import hashed, record_key
from schemas.rule import Command, CommandAction, RuleEvent
from schemas.topics import Topic
from streams import kafka, schema_topic
from streams.api.auth import Caller
from streams.api.errors import Refused
from streams.api.publish import ACK_WITHIN_S, NotWritten
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.api.services import Services

ANSWER_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05
NOT_YET = (
    f"the counter has not written it within {ANSWER_WITHIN_S:.0f} s; it will, and `vedette alerts ls` shows it then. "
    "`vedette status` tells whether the job count runs"
)


@dataclass(frozen=True)
class Told:
    """A command that Kafka has taken, and the alert as it stands."""

    alert: AlertChange
    done: bool
    """Whether the counter has written the change."""

    def shown(self) -> dict[str, Any]:
        """Returns it as the api answers."""
        shown = {"result": "done" if self.done else "accepted", **_shown(self.alert)}
        return shown if self.done else {**shown, "message": NOT_YET}


class Note(Strict):
    """What goes with a command."""

    note: Annotated[str, Field(max_length=1000)] = ""
    by: Annotated[str, Field(max_length=200, description="who says so; the key's id is added")] = ""

    def said_by(self, caller: Caller) -> str:
        """Returns who said it: a person, as far as the key is trusted, and always the key."""
        key = f"key {caller.id}"
        return f"{self.by} ({key})" if self.by else f"{caller.key.label} ({key})" if caller.key.label else key

    def until_ms(self, now: int) -> int:  # noqa: ARG002 - a snooze alone ends
        """Returns the end of a snooze in milliseconds, else 0."""
        return 0


class Snooze(Note):
    """How long nobody is told: `for` a duration, or `until` a time. `for: 0s` ends a snooze."""

    for_: Duration | None = Field(default=None, alias="for")
    until: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("say how long with `for` (90m, 8h) or until when with `until` (2030-01-31T08:00:00Z)")
        return self

    def until_ms(self, now: int) -> int:
        """Returns the end of the snooze in milliseconds."""
        return round(self.until.timestamp() * 1000) if self.until else now + (self.for_ or 0)


class CommandLog:
    """Appends commands to `vedette.rule-events`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def start(self) -> None:
        """Publishes the writer schema."""
        self._producer = kafka.producer(self._settings, **{"delivery.timeout.ms": int(ACK_WITHIN_S * 1000)})
        schema_topic.publish(self._settings, self._producer, RuleEvent)

    def append(self, event: RuleEvent) -> None:
        """Writes one command and returns when it is acknowledged.

        Raises:
            NotWritten: Kafka did not answer in time.
        """
        outcome: list[KafkaError | None] = []

        def acknowledged(error: KafkaError | None, _: Message) -> None:
            outcome.append(error)

        self._producer.produce(
            kafka.topic_name(self._settings, Topic.RULE_EVENTS),
            key=record_key(event.project, event.rule, event.group),
            value=encode(event),
            headers=[("vedette-project", event.project.encode())],
            on_delivery=acknowledged,
        )
        self._producer.flush(ACK_WITHIN_S + 1)
        error = outcome[0] if outcome else None
        if error is not None or not outcome:
            raise NotWritten(
                f"Kafka did not take it: {error.str() if error else f'no answer within {ACK_WITHIN_S:.0f} s'}"
            )


async def command(
    services: "Services", alert_id: str, action: CommandAction, by: str = "", note: str = "", until: int = 0
) -> Told:
    """Tells an alert something and returns when the counter has written the change, or after `ANSWER_WITHIN_S`.

    The same command to the same change of an alert has one id and counts once. `until` is the end of a snooze in milliseconds; one that
    has passed ends the snooze.

    Raises:
        Refused: there is no such alert, it is resolved, or acknowledged before.
        NotWritten: Kafka did not answer in time.
    """
    alert = _open(services.alerts.newest(alert_id), alert_id, action)
    identity = hashed(alert.project, alert_id, str(alert.change), action, by, note, str(until))
    said = Command(command_id=identity, action=action, alert_id=alert_id, by=by, note=note, until=until)
    await asyncio.to_thread(services.commands.append, _event(alert, said))
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline:
        alert = services.alerts.newest(alert_id) or alert
        if _done(alert, said):
            return Told(alert, done=True)
        if alert.state == "resolved":
            raise _resolved(alert)
        await asyncio.sleep(LOOK_EVERY_S)
    return Told(alert, done=False)


def _open(alert: AlertChange | None, alert_id: str, action: CommandAction) -> AlertChange:
    if alert is None:
        raise unknown(alert_id)
    if alert.state == "resolved":
        raise _resolved(alert)
    if action == "acknowledge" and alert.state == "acknowledged":
        raise Refused(409, "acknowledged", f"alert {alert.alert_id} is acknowledged already", _shown(alert))
    return alert


def unknown(alert_id: str) -> Refused:
    """Returns the refusal of an alert that is not there, or not for this key."""
    return Refused(404, "not_found", f"there is no alert {alert_id}; `vedette alerts ls` lists the open ones")


def _resolved(alert: AlertChange) -> Refused:
    return Refused(409, "resolved", f"alert {alert.alert_id} is resolved: {alert.cause}", _shown(alert))


def _shown(alert: AlertChange) -> dict[str, Any]:
    return {"alert": alert.model_dump(mode="json")}


def _event(alert: AlertChange, said: Command) -> RuleEvent:
    return RuleEvent(
        project=alert.project,
        rule=alert.rule,
        rule_version=alert.rule_version,
        group=alert.group,
        group_key=alert.group_key,
        command=said,
    )


_EFFECT: dict[CommandAction, Callable[[AlertChange, Command], bool]] = {
    "acknowledge": lambda alert, _: alert.state == "acknowledged",
    "resolve": lambda alert, _: alert.state == "resolved",
    "snooze": lambda alert, said: alert.until == said.until,
}


def _done(alert: AlertChange, said: Command) -> bool:
    return _EFFECT[said.action](alert, said)
