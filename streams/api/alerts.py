"""All alerts in memory: the newest change of each, read from `vedette.alerts` without a group."""

import threading
from collections.abc import Collection
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.alert import AlertChange
from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.topics import Topic
from streams import kafka
from streams.schema_topic import SchemaTopic
from streams.settings import Settings

log = structlog.get_logger()

RESOLVED_KEPT = 1000
"""ClickHouse knows all of them."""


class Alerts:
    """A fold over alert changes: the newest of each alert. Open ones are all kept, of the resolved ones the last thousand."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], AlertChange] = {}
        self._project: dict[str, str] = {}
        self._resolved: dict[tuple[str, str], None] = {}
        self._alone = threading.Lock()

    def take(self, change: AlertChange) -> None:
        """Takes one change; a change met again, or out of order, changes nothing."""
        key = change.project, change.alert_id
        with self._alone:
            known = self._newest.get(key)
            if known is not None and known.change >= change.change:
                return
            self._newest[key], self._project[change.alert_id] = change, change.project
            self._resolved.pop(key, None)
            if change.state == "resolved":
                self._resolved[key] = None
            if len(self._resolved) > RESOLVED_KEPT:
                oldest = next(iter(self._resolved))
                del self._resolved[oldest], self._newest[oldest]
                self._project.pop(oldest[1], None)

    def find(self, projects: Collection[str], states: Collection[str]) -> list[dict[str, Any]]:
        """Returns the alerts of some projects in some states, those that changed last first."""
        with self._alone:
            found = [c for c in self._newest.values() if c.project in projects and c.state in states]
        found.sort(key=lambda change: (change.changed_at, change.alert_id), reverse=True)
        return [change.model_dump(mode="json") for change in found]

    def open(self, project: str) -> list[AlertChange]:
        """Returns the newest change of every alert of a project that is not resolved."""
        with self._alone:
            return [c for c in self._newest.values() if c.project == project and c.state != "resolved"]

    def newest(self, alert_id: str) -> AlertChange | None:
        """Returns the newest change of an alert that is kept. Its id is derived from its project too: no other one has it."""
        with self._alone:
            return self._newest.get((self._project.get(alert_id, ""), alert_id))

    def projects(self) -> frozenset[str]:
        """Returns the projects that have alerts."""
        with self._alone:
            return frozenset(project for project, _ in self._newest)


class AlertFeed:
    """A thread that reads every alert change from the beginning and goes on reading."""

    def __init__(self, settings: Settings) -> None:
        self.alerts = Alerts()
        self._settings = settings
        self._schemas = Schemas()
        self._schema_topic = SchemaTopic(settings, self._schemas)
        self._stopping, self._read = threading.Event(), threading.Event()
        self._unread: set[int] = set()
        self._thread = threading.Thread(target=self._run, daemon=True, name="alerts")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def wait_until_read(self) -> None:
        """Returns when every change that stood there at the start has been read."""
        self._read.wait()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        eof = {"enable.partition.eof": True}
        consumer = kafka.consumer(self._settings, kafka.group_name(self._settings, "alerts"), **eof)
        while not self._stopping.is_set() and not self._assign(consumer):
            self._stopping.wait(1)
        while not self._stopping.is_set():
            for message in consumer.consume(500, timeout=0.5):
                self._meet(message)
        consumer.close()
        self._schema_topic.close()

    def _assign(self, consumer: Consumer) -> bool:
        name = kafka.topic_name(self._settings, Topic.ALERTS)
        try:
            partitions = consumer.list_topics(name, timeout=30).topics[name].partitions
        except KafkaException as error:
            log.warning("alerts wait for Kafka", error=error.args[0].str())
            return False
        self._unread = set(partitions)
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in partitions])
        return True

    def _meet(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._take(message)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            self._unread.discard(message.partition() or 0)
            if not self._unread:
                self._read.set()

    def _take(self, message: Message) -> None:
        value = message.value() or b""
        while not self._stopping.is_set():
            try:
                self.alerts.take(self._schemas.decode(AlertChange, value))
                return
            except UnknownSchema as unknown:
                self._await(unknown)
            except Undecodable as error:  # only the counter writes here
                log.error("alert change skipped", error=str(error), offset=message.offset())
                return

    def _await(self, unknown: UnknownSchema) -> None:
        try:
            self._schema_topic.wait_for(unknown, patience_s=5)
        except UnknownSchema:
            log.warning("alerts are not up to date: no writer schema", fingerprint=unknown.fingerprint_hex)
