"""The counter: folds rule events into alert changes. Alone in writing `vedette.alerts`."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

import faust
import orjson
import structlog
from faust.types import TP, EventT
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.codec import Undecodable, UnknownSchema, encode
from schemas.ids import partition_of, record_key
from schemas.rule import RuleEvent, Tick
from schemas.rule_state import RuleState
from schemas.topics import COUNTER_STATE, Topic
from streams import kafka, observe
from streams.faust_app import RESTART, FaustJob, raw
from streams.logic.configuration import Configuration
from streams.logic.in_effect import rule_at, rule_of_event
from streams.logic.offsets import InFlight
from streams.logic.rules import Position, Step, step, tick
from streams.loop import Out, Received
from streams.settings import Settings

log = structlog.get_logger()

TICK_S = 5.0
WEDGED_AFTER_S = 30.0
"""A job that has read nothing for this long, not even its own ticks, ends and is started again."""

FOLDED = Counter("vedette_rule_subjects_total", "Subjects folded into rules, by what they did", ["why"])


def changes(received: Received, state: RuleState | None, configuration: Configuration) -> Step:
    """Folds one rule event into the state of its rule and group.

    Raises:
        Undecodable: the event names a rule version that never was, carries a command, or stands under a foreign key.
    """
    event = received.of(RuleEvent)
    if received.key != record_key(event.project, event.rule, event.group):  # states are found by it, ticks read it
        raise Undecodable(f"the key of a rule event is [project, rule, group], not {received.key!r}")
    if event.command is not None or not event.evaluated:
        raise Undecodable("a rule event without subjects; commands are not understood by this version")
    newest = max(evaluated.ingested_at for evaluated in event.evaluated)
    rule = rule_of_event(configuration, event.project, event.rule, event.rule_version, newest)
    if rule is None:
        raise Undecodable(f"project {event.project!r} never had version {event.rule_version} of rule {event.rule!r}")
    return step(rule, state, event, _position(received))


def due_changes(
    received: Received, states: dict[bytes, RuleState], configuration: Configuration
) -> Iterator[tuple[bytes, Step]]:
    """Folds one tick into every state of its partition and yields the steps that do something."""
    at = _position(received)
    for key, state in states.items():
        project, rule, _ = orjson.loads(key)
        done = tick(rule_at(configuration, project, rule, at.appended_at), state, at)
        if done.why:
            yield key, done


def _position(received: Received) -> Position:
    return Position(received.partition, received.offset, received.timestamp_ms)


class StateTable(faust.Table):
    """A table of `RuleState` that keeps the futures of its changelog and recovers the newer of two states."""

    sent: list["asyncio.Future[Any]"]

    def __init__(self, *args: Any, learn: Any = None, schemas: Any = None, **kwargs: Any) -> None:
        self.sent = []
        self._codec = StateCodec(schemas, learn)
        super().__init__(*args, **kwargs)

    def _serializer_from_type(self, typ: Any) -> Any:
        return "raw" if typ is bytes else self._codec

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        future = super().send_changelog(*args, **kwargs)
        self.sent.append(future)
        return future

    def take_sent(self) -> list["asyncio.Future[Any]"]:
        """Returns the changelog futures of the event that was just folded."""
        sent, self.sent = self.sent, []
        return sent

    def apply_changelog_batch(self, batch: Iterable[EventT]) -> None:
        """Recovers from the changelog.

        A worker that lost its partition may still have appended an old state: Kafka fences nobody here.
        """
        super().apply_changelog_batch([event for event in batch if self._is_newer(event)])

    def _is_newer(self, event: Any) -> bool:
        known: RuleState | None = self.data.data.get(event.key)
        return bool(known is None or event.value is None or event.value.writes >= known.writes)


class StateCodec(faust.Codec):
    """`RuleState` in Avro, as every other record."""

    def __init__(self, schemas: Any = None, learn: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._schemas, self._learn = schemas, learn

    def _dumps(self, s: RuleState) -> bytes:
        return encode(s)

    def _loads(self, s: bytes) -> RuleState:
        try:
            state: RuleState = self._schemas.decode(RuleState, s)
        except UnknownSchema as unknown:
            self._learn(unknown)
            return self._loads(s)
        except Undecodable as error:  # Faust's recovery would hang on it for ever without a word
            log.critical("the counter's changelog holds what is no state", error=str(error))
            os._exit(RESTART)
        return state


class Count:
    """The job: one agent on `vedette.rule-events`, its table, its ticks."""

    def __init__(self, settings: Settings) -> None:
        self.job = FaustJob(
            "count", settings, reads={Topic.RULE_EVENTS: RuleEvent}, writes=(AlertChange, RuleState, Tick)
        )
        app = self.job.app
        self.table = StateTable(
            app, name=COUNTER_STATE, key_type=bytes, value_type=None, partitions=settings.partitions,  # the codec makes it
            schemas=self.job.schemas, learn=self.job.learn,
        )  # fmt: skip
        app.tables.add(self.table)
        self.source = app.topic(kafka.topic_name(settings, Topic.RULE_EVENTS), key_type=bytes, value_type=bytes)
        self.partitions = settings.partitions
        self.read_at: dict[int, float] = {}
        app.agent(self.source, name="count-vedette.rule-events")(self.agent)
        app.timer(TICK_S)(self.write_ticks)
        app.on_partitions_assigned.connect(self.assigned)  # type: ignore[arg-type]

    async def agent(self, stream: Any) -> None:
        """Folds every event; awaits neither changelog nor alert: the ack does."""
        async for event in stream.noack().events():
            entry = await self.job.acks.start(event)
            await self.fold(entry, raw(Topic.RULE_EVENTS, event))

    async def fold(self, entry: InFlight[EventT], received: Received) -> None:
        """Folds one event or tick, and acks it when its changelog and its alerts are acknowledged."""
        self.read_at[received.partition] = time.monotonic()
        outs = await self.job.outcome(received, self._alerts)
        futures: list[asyncio.Future[Any]] = self.table.take_sent()
        futures += await self.job.send(outs)
        self.job.acks.when(entry, futures)
        observe.RECORDS.labels("count", received.topic).inc()

    async def _alerts(self, received: Received) -> list[Out]:
        configuration = await self.job.configuration()
        if received.key is None:  # a tick
            return self._ticked(received, configuration)
        done = changes(received, self.table.data.data.get(received.key), configuration)
        self._keep(received.key, done)
        return [_out(received.key, change) for change in done.changes]

    def _ticked(self, received: Received, configuration: Configuration) -> list[Out]:
        mine = {k: s for k, s in self.table.data.data.items() if partition_of(k, self.partitions) == received.partition}
        outs = []
        for key, done in list(due_changes(received, mine, configuration)):  # all or nothing is kept
            self._keep(key, done)
            outs += [_out(key, change) for change in done.changes]
        return outs

    def _keep(self, key: bytes, done: Step) -> None:
        for why, count in done.why.items():
            FOLDED.labels(why).inc(count)
        if done.state is None:
            del self.table[key]
        elif done.state is not self.table.data.data.get(key):
            self.table[key] = done.state

    async def write_ticks(self) -> None:
        """Writes a tick into each partition that this worker owns, and ends the process when none comes back."""
        if not self.job.app.flow_control.is_active():
            self.read_at.clear()
            return
        topic = kafka.topic_name(self.job.settings, Topic.RULE_EVENTS)
        for tp in self.job.app.consumer.assignment():
            if tp.topic == topic:
                self._end_if_wedged(tp.partition)
                await self.job.producer.send(Out(Topic.RULE_EVENTS, None, Tick(job="count"), partition=tp.partition))

    def _end_if_wedged(self, partition: int) -> None:
        read = self.read_at.setdefault(partition, time.monotonic())
        if time.monotonic() - read > WEDGED_AFTER_S:
            log.critical("own ticks do not come back: wedged", partition=partition, seconds=WEDGED_AFTER_S)
            os._exit(RESTART)

    async def assigned(self, app: Any, assigned: Iterable[TP], **_: Any) -> None:  # noqa: ARG002
        """Waits for own ticks anew. Memory stays: recovery reads the changelog on from where this worker left it."""
        self.ticks_read.clear()


def _out(key: bytes, change: AlertChange) -> Out:
    return Out(Topic.ALERTS, key, change)


def main(settings: Settings) -> None:
    """Runs the counter until SIGTERM."""
    Count(settings).job.run()
