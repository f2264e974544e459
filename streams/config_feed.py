"""`vedette.config` in this process: a thread that reads it, and proof that it is read to its end."""

import threading
import time
from collections.abc import Callable

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.config import ConfigEntry
from schemas.topics import Topic
from streams import kafka, topics
from streams.logic.configuration import TAKES_EFFECT_AFTER_MS, Configuration
from streams.schema_topic import SchemaTopic, schema_frame
from streams.settings import Settings

log = structlog.get_logger()

CONFIRM_EVERY_S = 0.7
FRESH_S = TAKES_EFFECT_AFTER_MS / 1000


class ConfigFeed:
    """Reads every version of every document and goes on reading.

    An entry takes effect 2 s after its append. A job that saw the topic's end less than 2 s ago therefore knows everything that is in
    effect now; one that did not must pause, which `confirmed` does for it.
    """

    def __init__(self, settings: Settings, on_entry: Callable[[ConfigEntry, int], None] | None = None) -> None:
        self.configuration = Configuration()
        self._settings = settings
        self._on_entry = on_entry
        self._schemas = Schemas()
        self._schema_topic = SchemaTopic(settings, self._schemas)
        self._stopping = threading.Event()
        self._confirmed_at = float("-inf")
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True, name="config")

    def start(self) -> None:
        """Starts the thread and returns when the topic has been read to its end once."""
        topics.wait_until_ready(self._settings, [kafka.topic_name(self._settings, Topic.CONFIG)])
        self._thread.start()
        self.confirmed()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(10)

    def is_fresh(self) -> bool:
        """Tells whether the topic's end was confirmed less than 2 s ago."""
        return time.monotonic() - self._confirmed_at < FRESH_S

    def confirmed(self) -> Configuration:
        """Waits until the topic's end was confirmed less than 2 s ago and returns the configuration."""
        while not self.is_fresh():
            with self._condition:
                self._condition.wait(1)
            if self._stopping.is_set():
                break
            if time.monotonic() - self._confirmed_at > 5 * FRESH_S:
                log.warning(
                    "paused: cannot confirm the end of vedette.config", servers=self._settings.bootstrap_servers
                )
        return self.configuration

    def _run(self) -> None:
        consumer = kafka.consumer(self._settings, kafka.group_name(self._settings, "config"))
        where = TopicPartition(kafka.topic_name(self._settings, Topic.CONFIG), 0, OFFSET_BEGINNING)
        consumer.assign([where])
        position, asked_at = 0, float("-inf")
        end: int | None = None
        while not self._stopping.is_set():
            if time.monotonic() - asked_at > CONFIRM_EVERY_S:
                asked_at, end = time.monotonic(), self._end(consumer, where)
            if end is not None and position >= end:
                self._confirm(asked_at)
                end = None
            position = self._read(consumer, position)
        consumer.close()
        self._schema_topic.close()

    def _end(self, consumer: Consumer, where: TopicPartition) -> int | None:
        try:
            return int(consumer.get_watermark_offsets(where, timeout=2)[1])
        except KafkaException:
            return None

    def _read(self, consumer: Consumer, position: int) -> int:
        message = consumer.poll(CONFIRM_EVERY_S)
        if message is None or message.error():
            return position
        self._take(message)
        return (message.offset() or 0) + 1

    def _take(self, message: Message) -> None:
        appended_at = message.timestamp()[1]
        try:
            entry = self._decode(message.value() or b"", schema_frame(message))
        except Undecodable as error:  # only the api writes here
            log.error("configuration entry skipped", error=str(error))
            return
        self.configuration.apply(entry, appended_at)
        if self._on_entry:
            self._on_entry(entry, appended_at)

    def _decode(self, value: bytes, frame: bytes) -> ConfigEntry:
        while True:
            try:
                return self._schemas.decode(ConfigEntry, value, frame)
            except UnknownSchema as unknown:
                self._schema_topic.wait_for(unknown, patience_s=float("inf"))

    def _confirm(self, asked_at: float) -> None:
        with self._condition:
            self._confirmed_at = asked_at
            self._condition.notify_all()
