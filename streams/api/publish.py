"""The api's hand on `vedette.config`: appends entries and knows when they are in effect."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from confluent_kafka import KafkaError, Message

from schemas.codec import encode
from schemas.config import ConfigEntry
from schemas.ids import record_key
from schemas.topics import Topic
from streams import kafka, schema_topic
from streams.config_feed import ConfigFeed
from streams.logic.configuration import TAKES_EFFECT_AFTER_MS, Configuration
from streams.settings import Settings

T = TypeVar("T")

ACK_WITHIN_S = 15.0
READ_BACK_WITHIN_S = 15.0

Key = tuple[str, str, str]
"""Kind, project and name."""


class NotWritten(Exception):
    """Kafka did not take the entries; some of them may stand there. Sending them again is harmless."""


class ConfigLog:
    """Appends to `vedette.config` and reads it back.

    An entry is in effect 2 s after Kafka appended it, so at the latest 2 s after this process has read it: no clock is compared with
    another. Whoever decides from the configuration what to append holds `turn` until `append` has returned.
    """

    def __init__(self, settings: Settings) -> None:
        self.turn = threading.Lock()
        self._settings = settings
        self._arrived: dict[Key, float] = {}
        self._arrival = threading.Condition()
        self._feed = ConfigFeed(settings, self._arrive)

    def start(self) -> None:
        """Publishes the writer schema and returns when the configuration has been read to its end."""
        self._feed.start()
        self._producer = kafka.producer(self._settings, **{"delivery.timeout.ms": int(ACK_WITHIN_S * 1000)})
        schema_topic.publish(self._settings, self._producer, ConfigEntry)

    def stop(self) -> None:
        """Ends the thread that reads."""
        self._feed.stop()

    @property
    def configuration(self) -> Configuration:
        """Everything that has been read so far."""
        return self._feed.configuration

    def append(self, entries: Sequence[ConfigEntry]) -> None:
        """Writes entries and returns when they are acknowledged and this process has read them.

        Raises:
            NotWritten: Kafka did not answer in time.

        """
        began = time.monotonic()
        self._produce(entries)
        self._read_back({(entry.kind, entry.project, entry.name) for entry in entries}, began)

    def seconds_to_effect(self, keys: Sequence[Key]) -> float:
        """Returns how long the newest versions of these documents need until every job acts on them."""
        latest = max((self._arrived.get(key, float("-inf")) for key in keys), default=float("-inf"))
        return max(0.0, latest + TAKES_EFFECT_AFTER_MS / 1000 - time.monotonic())

    def _produce(self, entries: Sequence[ConfigEntry]) -> None:
        refused: list[KafkaError] = []

        def acknowledged(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                refused.append(error)

        for entry in entries:
            self._producer.produce(
                kafka.topic_name(self._settings, Topic.CONFIG),
                key=record_key(entry.project, entry.kind, entry.name, entry.version),
                value=encode(entry),
                headers=[("vedette-project", entry.project.encode())],
                on_delivery=acknowledged,
            )
        left = self._producer.flush(ACK_WITHIN_S + 1)
        if left or refused:
            reason = refused[0].str() if refused else f"no answer within {ACK_WITHIN_S:.0f} s"
            raise NotWritten(f"Kafka did not take it: {reason}")

    def _read_back(self, keys: set[Key], began: float) -> None:
        def all_here() -> bool:
            return all(self._arrived.get(key, float("-inf")) > began for key in keys)

        with self._arrival:
            if not self._arrival.wait_for(all_here, READ_BACK_WITHIN_S):
                raise NotWritten("Kafka took it, but it could not be read back; ask again")

    def _arrive(self, entry: ConfigEntry, _: int) -> None:
        with self._arrival:
            self._arrived[entry.kind, entry.project, entry.name] = time.monotonic()
            self._arrival.notify_all()


async def append(config: ConfigLog, decide: Callable[[], tuple[T, list[ConfigEntry]]]) -> T:
    """Decides and appends with nobody in between, in a thread: both may wait for Kafka. Returns the first of what was decided."""

    def work() -> T:
        with config.turn:
            outcome, entries = decide()
            if entries:
                config.append(entries)
            return outcome

    return await asyncio.to_thread(work)


async def in_effect(config: ConfigLog, of: Sequence[Key]) -> None:
    """Returns when every job acts on the newest versions of these documents."""
    await asyncio.sleep(config.seconds_to_effect(of))
