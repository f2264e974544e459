"""To Kafka, and back with its acks."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from schemas.topics import Topic
from streams import kafka
from streams.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write."""

    topic: Topic
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Unavailable(Exception):  # noqa: N818 - it may be there again soon
    """Kafka did not take a record in time; it may have it all the same, so whoever sends again uses the same ids."""


class _Pending:
    """Records that are answered together."""

    __slots__ = ("_done", "error", "future", "left")

    def __init__(self, future: "asyncio.Future[None]", left: int, done: "list[_Pending]") -> None:
        self.future, self.left, self._done = future, left, done
        self.error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        """Called in the thread that polls."""
        self.error = self.error or error
        self.left -= 1
        if not self.left:
            self._done.append(self)

    def resolve(self) -> None:
        """Called in the event loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(Unavailable(self.error.str()))


class Publisher:
    """Writes records and waits for the acks of all replicas, at most `within_s` seconds.

    One thread polls; the event loop is woken once for all acks that came together.
    """

    def __init__(
        self, settings: Settings, loop: asyncio.AbstractEventLoop, within_s: float, on_fatal: Callable[[str], None]
    ) -> None:
        self._names = {topic: kafka.topic_name(settings, topic) for topic in Topic}
        self._loop = loop
        self._on_fatal = on_fatal
        self.producer = kafka.producer(settings, **_tuning(settings, within_s), error_cb=self._failed)
        self._done: list[_Pending] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True, name="acks")
        self._thread.start()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Returns when every record is acknowledged.

        Raises:
            Unavailable: some record is not.

        """
        pending = _Pending(self._loop.create_future(), len(records), self._done)
        produce: Any = self.producer.produce
        try:
            for record in records:
                produce(
                    self._names[record.topic],
                    record.value,
                    record.key,
                    headers=record.headers,
                    on_delivery=pending.delivered,
                )
        except BufferError:
            raise Unavailable("the queue to Kafka is full") from None
        except KafkaException as error:
            raise Unavailable(error.args[0].str()) from None
        await pending.future

    def close(self, within_s: float) -> None:
        """Waits for what is in flight, then ends the thread."""
        self.producer.flush(within_s)
        self._stopping.set()
        self._thread.join(2)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self.producer.poll(0.5)
            if self._done:
                done = self._done[:]
                del self._done[: len(done)]
                self._loop.call_soon_threadsafe(_resolve, done)

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_fatal(error.str())
        else:
            log.warning("Kafka", error=error.str())


def _tuning(settings: Settings, within_s: float) -> dict[str, Any]:
    """Compressing costs more than all else that the bridge does (lz4: 2.3 µs per kB, twice the parse): only if asked for.

    With more than one large batch in flight librdkafka's sender spins while the socket is full (5 µs per kB instead of 0.2).
    """
    return {
        "delivery.timeout.ms": int(within_s * 1000),
        "compression.type": settings.kafka.get("compression_type", "none"),
        "max.in.flight.requests.per.connection": 1,
    }


def _resolve(done: list[_Pending]) -> None:
    for pending in done:
        pending.resolve()
