"""Writing from an event loop: one future for all records that an event causes, resolved when the broker has acknowledged them."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from confluent_kafka import KafkaError, Message

from schemas.codec import encode
from schemas.record import Record
from streams import kafka, observe
from streams.records import PARTITION_UA, Out
from streams.settings import Settings

log = structlog.get_logger()

Ack = asyncio.Future[None]

LINGER_MS = 10
"""Events come one by one and cause a few small records each: without it every one would be a request of its own to the broker."""


@dataclass(slots=True)
class Unacknowledged:
    """How many of the records sent together the broker has not acknowledged yet. Only the thread of the acks counts."""

    ack: Ack
    left: int


class AsyncProducer:
    """An idempotent producer whose acks arrive as futures of the running loop.

    A record that the broker refuses for good ends the process: its input was not committed and is read again.
    """

    def __init__(self, settings: Settings, job: str) -> None:
        self.producer = kafka.producer(settings, **{"linger.ms": LINGER_MS})
        self._settings, self._job = settings, job
        self._loop = asyncio.get_running_loop()
        self._acknowledged: deque[Ack] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True, name="acks")
        self._thread.start()

    async def send(self, outs: Sequence[Out]) -> Ack:
        """Hands records (one at least) over and returns the future of the last ack; waits only while the local queue is full."""
        ack: Ack = self._loop.create_future()
        delivered = partial(self._delivered, Unacknowledged(ack, len(outs)))
        for out in outs:
            await self._produce(out, delivered)
        return ack

    async def _produce(self, out: Out, delivered: "partial[None]") -> None:
        value = encode(out.value) if isinstance(out.value, Record) else out.value
        while True:
            try:
                self.producer.produce(
                    kafka.topic_name(self._settings, out.topic),
                    key=out.key,
                    value=value,
                    headers=list(out.headers),
                    partition=PARTITION_UA if out.partition is None else out.partition,
                    on_delivery=delivered,
                )
                return
            except BufferError:
                await asyncio.sleep(0.05)

    def close(self) -> None:
        """Ends the thread after what is queued was written."""
        self._stopping.set()
        self._thread.join(10)

    def _poll(self) -> None:
        while not (self._stopping.is_set() and len(self.producer) == 0):
            self.producer.poll(0.5)
            if self._acknowledged:
                self._loop.call_soon_threadsafe(self._settle)

    def _delivered(self, sent: Unacknowledged, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            log.critical("Kafka refused a record", error=error.str(), topic=message.topic())
            os._exit(70)
        observe.PRODUCED.labels(self._job, message.topic()).inc()
        sent.left -= 1
        if sent.left == 0:
            self._acknowledged.append(sent.ack)

    def _settle(self) -> None:
        while self._acknowledged:
            ack = self._acknowledged.popleft()
            if not ack.done():
                ack.set_result(None)
