"""An installation with only deliver in it, on the run's Kafka."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from schemas.alert import AlertChange
from schemas.codec import Schemas, encode
from schemas.config import ConfigEntry
from schemas.delivery import Delivery
from schemas.documents.base import canonical_spec
from schemas.documents.rule import RuleSpec
from schemas.ids import record_key
from schemas.record import Record
from schemas.topics import Topic
from sinks.testing import FIRED, RULE
from streams import kafka as clients
from streams import schema_topic, topics
from streams.local.standins import SlackStandIn
from streams.settings import Settings

PROJECT = "default"
PATIENCE_S = 40


class Deliver:
    """An installation with only deliver in it: its topics, its process, and what the ledger says."""

    def __init__(self, settings: Settings, log: Path, secrets: Mapping[str, str] | None = None) -> None:
        self.secrets = secrets or {}
        self.settings = settings
        self.log = log
        self.processes: list[subprocess.Popen[bytes]] = []
        topics.create(settings)
        self._producer: Producer = clients.producer(settings)
        schema_topic.publish(settings, self._producer, AlertChange, ConfigEntry)

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            env = {**os.environ, **self.settings.environment(), "SLACK": "xoxb-1", **self.secrets}
            process = subprocess.Popen([sys.executable, "-m", "streams.deliver"], env=env, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)

    def write(self, topic: Topic, key: bytes, record: Record) -> None:
        self._producer.produce(clients.topic_name(self.settings, topic), key=key, value=encode(record))
        assert self._producer.flush(30) == 0

    def configure(self, kind: str, name: str, version: str, spec: bytes) -> None:
        entry = ConfigEntry(project=PROJECT, kind=kind, name=name, version=version, spec=spec)
        self.write(Topic.CONFIG, record_key(PROJECT, kind, name, version), entry)

    def slack(self, name: str, server: SlackStandIn) -> None:
        spec = {"type": "slack", "token": {"env": "SLACK"}, "channel": f"#{name}", "base_url": server.url}
        self.configure("Destination", name, "1", orjson.dumps(spec))

    def destination(self, name: str, **spec: object) -> None:
        self.configure("Destination", name, "1", orjson.dumps(spec))

    def rule(self, *actions: Mapping[str, object]) -> None:
        spec = RuleSpec.model_validate({**RULE.model_dump(by_alias=True), "actions": actions})
        self.configure("Rule", FIRED.rule, FIRED.rule_version, canonical_spec(spec))

    def alert(self, *changes: AlertChange) -> None:
        for change in changes:
            self.write(Topic.ALERTS, record_key(PROJECT, change.rule, change.group), change)

    def history(self) -> list[tuple[bytes, Delivery]]:
        """Everything on the ledger, partition after partition."""
        name = clients.topic_name(self.settings, Topic.DELIVERIES)
        consumer: Consumer = clients.consumer(self.settings, "test", **{"enable.partition.eof": True})
        consumer.assign([TopicPartition(name, n, OFFSET_BEGINNING) for n in range(self.settings.partitions)])
        found, ended, schemas = [], 0, Schemas()
        while ended < self.settings.partitions:
            for message in consumer.consume(100, timeout=1):
                if message.error():
                    ended += 1
                else:
                    found.append((message.key() or b"", schemas.decode(Delivery, message.value() or b"")))
        consumer.close()
        return found

    def newest(self) -> dict[str, Delivery]:
        """Where each destination's newest entry stands; for tests with one alert change."""
        return {f"{e.destination} {e.recipient}": e for _, e in self.history()}

    def newest_of_all(self) -> list[Delivery]:
        """Where every entry stands."""
        return list(dict(self.history()).values())

    def states(self) -> dict[tuple[str, str, int], str]:
        return {(e.destination, e.recipient, e.change): e.state for _, e in self.history()}

    def states_of_all(self) -> dict[bytes, str]:
        """The state of every entry by its key."""
        return {key: entry.state for key, entry in self.history()}

    def until(self, done: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while not done():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)
