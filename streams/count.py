"""The counter: folds rule events into alert changes. Alone in writing `vedette.alerts`.

Its state travels with the partitions of `vedette.rule-events`. A batch's alerts are written first; when they are acknowledged, the states
that it changed go to the same partition of `vedette.rule-state`; then it is committed. A crash between any two of these repeats the
batch, which makes the same alerts again or finds them made.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import structlog
from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.ids import partition_of, record_key
from schemas.rule import RuleEvent, Tick
from schemas.rule_state import RuleState
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
from streams.ticks import Ticks

log = structlog.get_logger()

FOLDED = Counter("vedette_rule_subjects_total", "Subjects folded into rules, by what they did", ["why"])

States = dict[bytes, RuleState]


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


def due_changes(received: Received, states: States, configuration: Configuration) -> Iterator[tuple[bytes, Step]]:
    """Folds one tick into the states of its partition and yields the steps that do something."""
    at = _position(received)
    for key, state in states.items():
        project, rule, _ = orjson.loads(key)
        done = tick(rule_at(configuration, project, rule, at.appended_at), state, at)
        if done.why:
            yield key, done


def never_seen(received: Received, partitions: int, configuration: Configuration) -> States:
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
    states: dict[int, States] = field(default_factory=lambda: defaultdict(dict))
    _changed: dict[tuple[int, bytes], RuleState | None] = field(default_factory=dict)

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
        partition, states = received.partition, self.states[received.partition]
        self.ticks.read(partition)
        if received.is_tick:
            new = {key: state for (p, key), state in touched.items() if p == partition}
            unseen = never_seen(received, self.settings.partitions, configuration)
            now = {key: state for key, state in {**unseen, **states, **new}.items() if state is not None}
            return list(due_changes(received, now, configuration))
        key = received.key or b""
        return [(key, changes(received, touched.get((partition, key), states.get(key)), configuration))]

    def _keep(self, touched: Mapping[tuple[int, bytes], RuleState | None]) -> None:
        for (partition, key), state in touched.items():
            states = self.states[partition]
            if state is states.get(key):
                continue
            self._changed[partition, key] = state
            if state is None:
                del states[key]
            else:
                states[key] = state

    def changed(self) -> list[Out]:
        """Returns the states that were changed since the last call, for the changelog."""
        changed, self._changed = self._changed, {}
        return [Out(Topic.RULE_STATE, key, state, partition=partition) for (partition, key), state in changed.items()]

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
        self._changed = {place: state for place, state in self._changed.items() if place[0] != partition}

    def due(self, partitions: Iterable[int]) -> list[Out]:
        """Returns a tick for each partition that is ours, every 5 s.

        Raises:
            RuntimeError: an own tick has not come back for 30 s.
        """
        return self.ticks.due(partitions)


def _count(why: Mapping[str, int]) -> None:
    for reason, number in why.items():
        FOLDED.labels(reason).inc(number)


def restored(settings: Settings, partition: int) -> States:
    """Returns the states that stand on one partition of `vedette.rule-state`.

    Of two states of a key the one with more writes stays: a worker that lost its partition may still have appended an old one, and
    Kafka fences nobody here.
    """
    states: States = {}
    schemas = Schemas()
    writers = SchemaTopic(settings, schemas)
    for message in _changelog(settings, partition):
        key, value = message.key() or b"", message.value()
        state = _decoded(schemas, writers, value) if value else None
        known = states.get(key)
        if state is None:
            states.pop(key, None)
        elif known is None or state.writes >= known.writes:
            states[key] = state
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
