"""A soak of two counters on a real broker: kills, joins and leaves under load, compared with the offline fold.

    python tests/faults/counter_soak.py BOOTSTRAP DISRUPTIONS SEED

prints one JSON line: how many alert changes the offline fold of `vedette.rule-events` makes, how many of them are missing on
`vedette.alerts`, how many are there that it does not make, how many stand there with other bytes.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from schemas.alert import AlertChange
from schemas.codec import Schemas, encode
from schemas.config import ConfigEntry
from schemas.documents.base import canonical_spec, spec_version
from schemas.documents.rule import RuleSpec
from schemas.ids import record_key
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import RuleState
from schemas.topics import Topic
from streams import kafka, schema_topic, topics
from streams.count import changes, due_changes, never_seen
from streams.logic.configuration import Configuration
from streams.records import Received
from streams.settings import Settings

PARTITIONS = 4
EVENTS_PER_SECOND = 150
WHEN = {"all": [{"scorer": "S", "is": "fails"}]}
RULES: dict[str, dict[str, Any]] = {
    "often": {
        "when": WHEN,
        "group_by": ["agent"],
        "times": 3,
        "within": "5s",
        "cooldown": "10s",
        "resolve_after": "8s",
    },
    "many": {"when": WHEN, "group_by": ["agent"], "times": 8, "within": "20s", "cooldown": "5s"},
    "each": {"when": WHEN, "group_by": ["agent"], "times": 1, "within": "1s", "cooldown": "3s", "resolve_after": "4s"},
    "share": {
        "when": WHEN,
        "group_by": ["agent"],
        "rate": {"share": 0.5, "of": 5},
        "within": "8s",
        "cooldown": "5s",
        "resolve_after": "6s",
    },
    "held": {"when": WHEN, "group_by": ["agent"], "times": 2, "within": "6s", "sustained": "8s", "cooldown": "5s"},
    "awaited": {"when": WHEN, "group_by": ["agent"], "no_traffic": "6s", "cooldown": "8s"},
    "awaited by all": {"when": WHEN, "no_traffic": "3s", "cooldown": "5s"},
}
UNMATCHED = ("share", "awaited", "awaited by all")
COMMANDED = 0.03
"""So many of the events are commands."""
PROJECTS = ("default", "other")


class Load(threading.Thread):
    """Writes rule events until told to stop: late, repeated and in bursts."""

    def __init__(self, settings: Settings, versions: dict[str, str], seed: int) -> None:
        super().__init__(daemon=True)
        self.settings, self.versions, self.random = settings, versions, random.Random(seed)
        self.stopping, self.sent, self.schemas = threading.Event(), 0, Schemas()

    def run(self) -> None:
        producer, topic = kafka.producer(self.settings), kafka.topic_name(self.settings, Topic.RULE_EVENTS)
        recent: list[Evaluated] = []
        reader, alerts = self._reader(), dict[str, AlertChange]()
        began = time.monotonic()
        while not self.stopping.is_set():
            alerts.update(self._alerts(reader))
            event = self._command(alerts) if alerts and self.random.random() < COMMANDED else self._event(recent)
            producer.produce(topic, key=record_key(event.project, event.rule, event.group), value=encode(event))
            producer.poll(0)
            self.sent += 1
            time.sleep(max(0, self.sent / EVENTS_PER_SECOND - (time.monotonic() - began)))
        producer.flush()
        reader.close()

    def _reader(self) -> Consumer:
        reader, name = kafka.consumer(self.settings, "soak-alerts"), kafka.topic_name(self.settings, Topic.ALERTS)
        reader.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
        return reader

    def _alerts(self, reader: Consumer) -> dict[str, AlertChange]:
        found = [self.schemas.decode(AlertChange, m.value() or b"") for m in reader.consume(50, 0) if not m.error()]
        return {change.alert_id: change for change in found}

    def _command(self, alerts: dict[str, AlertChange]) -> RuleEvent:
        """Mostly to an alert that changed just now; some come too late."""
        alert = self.random.choice(list(alerts.values())[-20:])
        action = self.random.choice(("acknowledge", "acknowledge", "resolve", "snooze"))
        said = {"command_id": f"c{self.sent}", "action": action, "alert_id": alert.alert_id, "by": "soak", "until": 1}
        return RuleEvent(
            project=alert.project,
            rule=alert.rule,
            rule_version=alert.rule_version,
            group=alert.group,
            group_key=alert.group_key,
            command=Command.model_validate(said),
        )

    def _event(self, recent: list[Evaluated]) -> RuleEvent:
        choose = self.random
        rule, agent = choose.choice(self._heard()), f"agent-{choose.randrange(8)}"
        group = (agent,) if RULES[rule].get("group_by") else ()
        unmatched = 0.6 if rule in UNMATCHED else 0
        evaluated = [self._subject(unmatched) for _ in range(choose.choice((1, 1, 1, 2, 4)))]
        if recent and choose.random() < 0.1:
            evaluated.append(choose.choice(recent))
        recent[:] = [*recent, *evaluated][-50:]
        return RuleEvent(
            project=choose.choice(PROJECTS),
            rule=rule,
            rule_version=self.versions[rule],
            group=group,
            group_key=json.dumps({"agent": agent} if group else {}),
            evaluated=tuple(evaluated),
        )

    def _heard(self) -> list[str]:
        """Now and then nothing comes for the rules that wait for something."""
        silent = time.monotonic() % 24 < 10
        return [rule for rule in RULES if not (silent and rule.startswith("awaited"))]

    def _subject(self, unmatched: float) -> Evaluated:
        late_ms = self.random.choice((0, 0, 0, 0, 500, 3_000, 15_000))
        now = time.time_ns() // 1_000_000
        return Evaluated(
            subject_kind="example",
            subject_id=f"s{self.random.getrandbits(48)}",
            ingested_at=now - late_ms,
            matched=self.random.random() >= unmatched,
        )


class Counters:
    """Two processes of the job, and what happens to them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.environment, self.folder = {**os.environ, **settings.environment()}, folder
        self.running = {name: self._start(name) for name in ("a", "b")}

    def _start(self, name: str) -> "subprocess.Popen[bytes]":
        run = "from streams.settings import load; from streams.count import main; main(load())"
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", run], env=self.environment, stdout=log, stderr=log)

    def disrupt(self, choose: random.Random) -> None:
        """Ends one of the two, by SIGKILL or SIGTERM, and starts it again."""
        name = choose.choice(sorted(self.running))
        process = self.running[name]
        process.send_signal(choose.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        time.sleep(choose.choice((0.0, 0.5, 3.0)))
        self.running[name] = self._start(name)

    def supervise(self) -> int:
        """Starts again what ended by itself and returns how many did."""
        ended = [name for name, process in self.running.items() if process.poll() is not None]
        for name in ended:
            self.running[name] = self._start(name)
        return len(ended)

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def read(settings: Settings, topic: Topic) -> dict[int, list[Message]]:
    """Returns everything on a topic by partition."""
    consumer, name = kafka.consumer(settings, "soak"), kafka.topic_name(settings, topic)
    partitions = range(len(consumer.list_topics(name, timeout=10).topics[name].partitions))
    ends = {p: consumer.get_watermark_offsets(TopicPartition(name, p), timeout=10)[1] for p in partitions}
    consumer.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in partitions])
    found: dict[int, list[Message]] = defaultdict(list)
    while any(end and (not found[p] or (found[p][-1].offset() or 0) < end - 1) for p, end in ends.items()):
        for message in consumer.consume(1000, 1):
            if not message.error():
                found[message.partition() or 0].append(message)
    consumer.close()
    return found


Made = dict[tuple[str, int], bytes]
"""Alert changes by alert and number."""


def offline(settings: Settings, configuration: Configuration) -> tuple[Made, Made]:
    """Folds every partition of `vedette.rule-events` in offset order; returns the changes that have to be there, and those that may be.

    The counters have to have made what stands before their commits. What comes after, ticks, they may have folded: when both leave at
    once, one of them learns with its last commit that the group has moved on.
    """
    ends = {p.partition: p.offset for p in committed(settings)}
    must, may = Made(), Made()
    for partition, messages in read(settings, Topic.RULE_EVENTS).items():
        states: dict[bytes, RuleState] = {}
        for message in messages:
            made = must if (message.offset() or 0) < ends[partition] else may
            for change in _folded(partition, message, states, configuration):
                made.setdefault((change.alert_id, change.change), encode(change))
    return must, may


def _folded(
    partition: int, message: Message, states: dict[bytes, RuleState], configuration: Configuration
) -> Iterator[AlertChange]:
    at = message.timestamp()[1]
    received = Received(Topic.RULE_EVENTS, partition, message.offset() or 0, at, message.key(), b"", {}, None)
    if received.is_tick:
        unseen = never_seen(received, PARTITIONS, configuration)
        steps = list(due_changes(received, {**unseen, **states}, configuration))
    else:
        received = received.with_record(Schemas().decode(RuleEvent, message.value() or b""))
        steps = [(received.key or b"", changes(received, states.get(received.key or b""), configuration))]
    for key, step in steps:
        states.pop(key, None)
        if step.state is not None:
            states[key] = step.state
        yield from step.changes


def configure(settings: Settings) -> tuple[Configuration, dict[str, str]]:
    """Writes the rules of both projects and returns the configuration as every job will see it."""
    producer, name = kafka.producer(settings), kafka.topic_name(settings, Topic.CONFIG)
    schema_topic.publish(settings, producer, ConfigEntry, RuleEvent)
    versions = {}
    for project in PROJECTS:
        for rule, document in RULES.items():
            spec = canonical_spec(RuleSpec.model_validate(document))
            versions[rule] = spec_version(spec)
            entry = ConfigEntry(project=project, kind="Rule", name=rule, version=versions[rule], spec=spec)
            producer.produce(name, key=record_key(project, "Rule", rule, versions[rule]), value=encode(entry))
    producer.flush()
    configuration, schemas = Configuration(), Schemas()
    for message in read(settings, Topic.CONFIG)[0]:
        configuration.apply(schemas.decode(ConfigEntry, message.value() or b""), message.timestamp()[1])
    time.sleep(2.5)
    return configuration, versions


def committed(settings: Settings) -> list[TopicPartition]:
    """Returns where the counters' group stands in every partition."""
    name, group = kafka.topic_name(settings, Topic.RULE_EVENTS), kafka.group_name(settings, "count")
    consumer = kafka.consumer(settings, group)
    found = consumer.committed([TopicPartition(name, p) for p in range(PARTITIONS)], timeout=10)
    consumer.close()
    return list(found)


def drained(settings: Settings) -> bool:
    """Tells whether the counters have committed everything but the newest ticks."""
    consumer = kafka.consumer(settings, "soak")
    lags = [consumer.get_watermark_offsets(p, timeout=10)[1] - p.offset for p in committed(settings)]
    consumer.close()
    return max(lags) <= 3


def soak(bootstrap: str, disruptions: int, seed: int) -> dict[str, Any]:
    """Runs the soak and returns its figures."""
    choose, folder = random.Random(seed), Path(tempfile.mkdtemp(prefix="soak-"))
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=f"soak{seed}-{os.getpid()}.", partitions=PARTITIONS)
    topics.create(settings)
    configuration, versions = configure(settings)
    counters, load = Counters(settings, folder), Load(settings, versions, seed)
    time.sleep(8)
    load.start()
    ended_by_themselves, began = 0, time.monotonic()
    for _ in range(disruptions):
        time.sleep(choose.choice((2, 4, 6, 9, 14)))
        ended_by_themselves += counters.supervise()
        counters.disrupt(choose)
    load.stopping.set()
    load.join()
    deadline = time.monotonic() + 120
    while not drained(settings) and time.monotonic() < deadline:
        ended_by_themselves += counters.supervise()
        time.sleep(2)
    time.sleep(6)
    counters.stop()
    return {
        "disruptions": disruptions,
        "seconds": round(time.monotonic() - began),
        "events": load.sent,
        "ended_by_themselves": ended_by_themselves,
        **compared(settings, configuration),
        "logs": str(folder),
    }


def compared(settings: Settings, configuration: Configuration) -> dict[str, Any]:
    """Compares what stands on `vedette.alerts` with the offline fold."""
    (expected, possible), schemas = offline(settings, configuration), Schemas()
    found: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    times: Counter[tuple[str, int]] = Counter()
    for messages in read(settings, Topic.ALERTS).values():
        for message in messages:
            change = schemas.decode(AlertChange, message.value() or b"")
            found[change.alert_id, change.change].add(message.value() or b"")
            times[change.alert_id, change.change] += 1
    variants = [(value, found[key]) for key, value in expected.items() if key in found and found[key] != {value}]
    return {
        "changes": len(expected),
        "kinds": dict(Counter(f"{rule} {kind}" for rule, kind in _kinds(schemas, expected.values()))),
        "missing": len(expected.keys() - found.keys()),
        "extra": len(found.keys() - expected.keys() - possible.keys()),
        "different": len(variants),
        "fields_that_differ": dict(
            Counter(name for value, seen in variants for name in _differing(schemas, value, seen))
        ),
        "sent_again": sum(times.values()) - len(times),
        "dead_letters": sum(map(len, read(settings, Topic.DLQ).values())),
    }


def _kinds(schemas: Schemas, changes: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    for value in changes:
        change = schemas.decode(AlertChange, value)
        yield change.rule, change.kind


def _differing(schemas: Schemas, expected: bytes, seen: set[bytes]) -> set[str]:
    fold = schemas.decode(AlertChange, expected).__dict__
    others = [schemas.decode(AlertChange, value).__dict__ for value in seen]
    return {f"{name} ({len(seen)} values)" for name in fold for other in others if other[name] != fold[name]}


if __name__ == "__main__":
    print(json.dumps(soak(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))), flush=True)
