"""The counter: folds rule events into alert changes. Alone in writing `vedette.alerts`.

Its state travels with the partitions of `vedette.rule-events`. A batch's alerts are written first; when they are acknowledged, the states
that it changed go to the same partition of `vedette.rule-state`; then it is committed. A crash between any two of these repeats the
batch, which makes the same alerts again or finds them made.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import orjson
import structlog
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.ids import partition_of, record_key
from schemas.rule import RuleEvent, Tick
from schemas.rule_state import RuleState, writes_of
from schemas.topics import Topic
from streams import kafka, loop
from streams.config_feed import ConfigFeed
from streams.logic.configuration import Configuration
from streams.logic.in_effect import rule_at, rule_of_command, rule_of_event, silent_rules
from streams.logic.rules import Position, RuleVersion, Step, step, tick
from streams.loop import Loop
from streams.records import Out, Received
from streams.schema_topic import SchemaTopic
from streams.settings import Settings
from streams.states import States
from streams.ticks import Ticks

log = structlog.get_logger()

FOLDED = Counter("vedette_rule_subjects_total", "Subjects folded into rules, by what they did", ["why"])


def changes(received: Received, state: RuleState | None, configuration: Configuration) -> Step:
    """Folds one rule event into the state of its rule and group.

    Raises:
        Undecodable: the event names a rule version that never was, tells nothing, or stands under a foreign key.
    """
    event = received.of(RuleEvent)
    if event.command is None and not event.evaluated:
        raise Undecodable("a rule event with neither subjects nor a command")
    if received.key != record_key(event.project, event.rule, event.group):
        raise Undecodable(f"the key of a rule event is [project, rule, group], not {received.key!r}")
    rule = _rule_of(event, received.timestamp_ms, configuration)
    if rule is None:
        raise Undecodable(f"project {event.project!r} never had version {event.rule_version} of rule {event.rule!r}")
    return step(rule, state, event, _position(received))


def _rule_of(event: RuleEvent, appended_at: int, configuration: Configuration) -> RuleVersion | None:
    named = event.project, event.rule, event.rule_version
    if event.command is not None:
        return rule_of_command(configuration, *named, appended_at)
    return rule_of_event(configuration, *named, max(evaluated.ingested_at for evaluated in event.evaluated))


def due_changes(
    received: Received, states: Mapping[bytes, RuleState], configuration: Configuration
) -> Iterator[tuple[bytes, Step]]:
    """Folds one tick into states of its partition and yields the steps that do something."""
    at = _position(received)
    for key, state in states.items():
        project, rule, _ = orjson.loads(key)
        done = tick(rule_at(configuration, project, rule, at.appended_at), state, at)
        if done.why:
            yield key, done


def never_seen(received: Received, partitions: int, configuration: Configuration) -> dict[bytes, RuleState]:
    """Returns states for the rules on a tick's partition that may fire for want of traffic before they have seen any."""
    now = received.timestamp_ms
    waiting = (rule for project in configuration.projects() for rule in silent_rules(configuration, project, now))
    keys = (record_key(rule.project, rule.name, ()) for rule in waiting)
    return {key: RuleState() for key in keys if partition_of(key, partitions) == received.partition}


def _position(received: Received) -> Position:
    return Position(received.partition, received.offset, received.timestamp_ms)


@dataclass
class Count:
    """The states of the partitions that this worker owns, and what a batch does to them."""

    settings: Settings
    feed: ConfigFeed
    ticks: Ticks = field(default_factory=lambda: Ticks("count", Topic.RULE_EVENTS))
    states: dict[int, States] = field(default_factory=dict)
    _changed: dict[tuple[int, bytes], None] = field(default_factory=dict)

    def handle(self, batch: Sequence[Received]) -> list[Out]:
        """Returns the alert changes of a batch; the states that it leaves are kept unless it raises."""
        configuration = self.feed.confirmed()
        alerts: list[Out] = []
        touched: dict[tuple[int, bytes], RuleState | None] = {}
        for received in batch:
            for key, done in self._steps(received, touched, configuration):
                touched[received.partition, key] = done.state
                alerts += [Out(Topic.ALERTS, key, change) for change in done.changes]
                _count(done.why)
        self._keep(touched)
        return alerts

    def _steps(
        self, received: Received, touched: Mapping[tuple[int, bytes], RuleState | None], configuration: Configuration
    ) -> list[tuple[bytes, Step]]:
        partition, states = received.partition, self._of(received.partition)
        self.ticks.read(partition)
        if received.is_tick:
            new = {key: state for (p, key), state in touched.items() if p == partition}
            return list(due_changes(received, self._due(received, states, new, configuration), configuration))
        key = received.key or b""
        before = touched[partition, key] if (partition, key) in touched else states.get(key)
        return [(key, changes(received, before, configuration))]

    def _due(
        self, received: Received, states: States, new: Mapping[bytes, RuleState | None], configuration: Configuration
    ) -> dict[bytes, RuleState]:
        """The states that a tick may move: those whose time has come, and every one that the batch has touched before it."""
        find = partial(_rule_at, configuration, received.timestamp_ms)
        unseen = never_seen(received, self.settings.partitions, configuration)
        known = {key: states.get(key) for key in (*states.due(received.timestamp_ms, find), *unseen)}
        found = {**{key: state or unseen.get(key) for key, state in known.items()}, **new}
        return {key: state for key, state in found.items() if state is not None}

    def _of(self, partition: int) -> States:
        return self.states.setdefault(partition, States(partial(Schemas().decode, RuleState)))

    def _keep(self, touched: Mapping[tuple[int, bytes], RuleState | None]) -> None:
        for (partition, key), state in touched.items():
            states = self.states[partition]
            if state is not states.get(key):
                states.keep(key, state)
                self._changed[partition, key] = None

    def changed(self) -> list[Out]:
        """Returns the states that were changed since the last call, for the changelog."""
        keys: dict[int, list[bytes]] = {}
        for partition, key in self._changed:
            keys.setdefault(partition, []).append(key)
        self._changed = {}
        return [
            Out(Topic.RULE_STATE, key, value, partition=partition)
            for partition, of in keys.items()
            for key, value in self.states[partition].packed(of)
        ]

    def restore(self, partition: int) -> None:
        """Reads back the states of a partition that has come."""
        began = time.monotonic()
        self.states[partition] = restored(self.settings, partition)
        self.ticks.forget(partition)
        log.info(
            "states restored", partition=partition, states=len(self.states[partition]), seconds=time.monotonic() - began
        )

    def release(self, partition: int) -> None:
        """Forgets a partition that has gone."""
        self.states.pop(partition, None)
        self.ticks.forget(partition)
        self._changed = {place: None for place in self._changed if place[0] != partition}

    def due(self, partitions: Iterable[int]) -> list[Out]:
        """Returns a tick for each partition that is ours, every 5 s.

        Raises:
            RuntimeError: an own tick has not come back for 30 s.
        """
        return self.ticks.due(partitions)


def _rule_at(configuration: Configuration, at: int, project: str, name: str) -> RuleVersion | None:
    return rule_at(configuration, project, name, at)


def _count(why: Mapping[str, int]) -> None:
    for reason, number in why.items():
        FOLDED.labels(reason).inc(number)


def restored(settings: Settings, partition: int) -> States:
    """Returns the states that stand on one partition of `vedette.rule-state`.

    Of two states of a key the one with more writes stays: a worker that lost its partition may still have appended an old one, and
    Kafka fences nobody here. The others are not decoded: within the hour that the changelog is not compacted they are many.
    """
    newest: dict[bytes, bytes] = {}
    for message in _changelog(settings, partition):
        key, value = message.key() or b"", message.value()
        if not value:
            newest.pop(key, None)
        elif key not in newest or writes_of(value) >= writes_of(newest[key]):
            newest[key] = value
    schemas = Schemas()
    writers = SchemaTopic(settings, schemas)
    states = States(partial(_decoded, schemas, writers))
    states.restore(newest.items())
    writers.close()
    return states


def _decoded(schemas: Schemas, writers: SchemaTopic, value: bytes) -> RuleState:
    while True:
        try:
            return schemas.decode(RuleState, value)
        except UnknownSchema as unknown:
            writers.wait_for(unknown)


def _changelog(settings: Settings, partition: int) -> Iterator[Message]:
    """Yields a partition of the changelog from its beginning to the end that it has now."""
    where = TopicPartition(kafka.topic_name(settings, Topic.RULE_STATE), partition, OFFSET_BEGINNING)
    consumer = kafka.consumer(settings, kafka.group_name(settings, "count-restore"))
    try:
        _, end = consumer.get_watermark_offsets(where, timeout=30)
        consumer.assign([where])
        position = 0
        while position < end:
            yield from (message for message in consumer.consume(1000, timeout=0.2) if not message.error())
            position = max(position, consumer.position([where])[0].offset)
    finally:
        consumer.close()


def main(settings: Settings) -> None:
    """Runs the counter until SIGTERM."""
    feed = ConfigFeed(settings)
    count = Count(settings, feed)
    job = Loop(
        "count",
        settings,
        reads={Topic.RULE_EVENTS: RuleEvent},
        handle=count.handle,
        writes=(AlertChange, RuleState, Tick),
        keeper=count,
        batch=5000,  # a state that many events of a batch move is written once
    )
    loop.run(job, before=feed.start)
