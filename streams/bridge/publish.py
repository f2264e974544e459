"""To Kafka, and back with its acks."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.topics import Topic
from streams import kafka
from streams.settings import Settings

POLL_S = 0.002
"""Between two looks for acks while some are awaited: all that came meanwhile are taken at once, without a thread to wake."""
IDLE_POLL_S = 0.5
"""Otherwise: librdkafka's errors are told in a poll too."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write."""

    topic: Topic
    key: bytes | None
    """None on raw topics: what came within a moment goes to one partition, in one request."""
    value: bytes
    headers: list[tuple[str, bytes]]


class Unavailable(Exception):
    """Kafka did not take a record in time; it may have it all the same, so whoever sends again uses the same ids."""


class _Pending:
    """Records that are answered together."""

    __slots__ = ("error", "future", "left")

    def __init__(self, future: "asyncio.Future[None]", left: int) -> None:
        self.future, self.left = future, left
        self.error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _: Message) -> None:
        self.error = self.error or error
        self.left -= 1
        if self.left or self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(Unavailable(self.error.str()))


class Publisher:
    """Writes records and waits for the acks of all replicas, at most `within_s` seconds. Lives in one event loop."""

    def __init__(
        self, settings: Settings, loop: asyncio.AbstractEventLoop, within_s: float, on_fatal: Callable[[str], None]
    ) -> None:
        self._names = {topic: kafka.topic_name(settings, topic) for topic in Topic}
        self._loop = loop
        self._on_fatal = on_fatal
        self._awaited = 0
        self.producer = kafka.producer(settings, **_tuning(settings, within_s), error_cb=self._failed)
        self._timer = loop.call_later(IDLE_POLL_S, self._poll)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Returns when every record is acknowledged.

        Raises:
            Unavailable: some record is not.

        """
        pending = _Pending(self._loop.create_future(), len(records))
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
        await self._acks(pending)

    async def _acks(self, pending: _Pending) -> None:
        self._awaited += 1
        if self._awaited == 1:
            self._timer.cancel()
            self._timer = self._loop.call_later(POLL_S, self._poll)
        try:
            await pending.future
        finally:
            self._awaited -= 1

    def close(self, within_s: float) -> None:
        """Waits for what is in flight, at most `within_s` seconds."""
        self._timer.cancel()
        self.producer.flush(within_s)

    def _poll(self) -> None:
        self.producer.poll(0)
        self._timer = self._loop.call_later(POLL_S if self._awaited else IDLE_POLL_S, self._poll)

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._on_fatal(error.str())
        else:
            kafka.told(error)


def _tuning(settings: Settings, within_s: float) -> dict[str, Any]:
    """What differs from a job's producer, for CPU time.

    Compressing costs more than all else that the bridge does (lz4: 2.3 µs per kB, twice the parse): only if asked for. An idempotent
    producer's sender thread spins while a request is on its way, up to half a core when the broker is slow: a record that is written twice
    after a lost ack is one that an exporter sent twice, which ids make harmless.
    """
    return {
        "delivery.timeout.ms": int(within_s * 1000),
        "compression.type": settings.kafka.get("compression_type", "none"),
        "linger.ms": 10,
        "sticky.partitioning.linger.ms": 50,
        "enable.idempotence": False,
        "max.in.flight.requests.per.connection": 5,
    }
