"""Writing from an event loop: a future per record, resolved when the broker has acknowledged it."""

import asyncio
import os
import threading
from collections import deque
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


class AsyncProducer:
    """An idempotent producer whose acks arrive as futures of the running loop.

    A record that the broker refuses for good ends the process: its input was not committed and is read again.
    """

    def __init__(self, settings: Settings, job: str) -> None:
        self.producer = kafka.producer(settings)
        self._settings, self._job = settings, job
        self._loop = asyncio.get_running_loop()
        self._acknowledged: deque[tuple[Ack, str]] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True, name="acks")
        self._thread.start()

    async def send(self, out: Out) -> Ack:
        """Hands a record over and returns the future of its ack; waits only while the local queue is full."""
        ack: Ack = self._loop.create_future()
        value = encode(out.value) if isinstance(out.value, Record) else out.value
        while True:
            try:
                self.producer.produce(
                    kafka.topic_name(self._settings, out.topic),
                    key=out.key,
                    value=value,
                    headers=list(out.headers),
                    partition=PARTITION_UA if out.partition is None else out.partition,
                    on_delivery=partial(self._delivered, ack),
                )
                return ack
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

    def _delivered(self, ack: Ack, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            log.critical("Kafka refused a record", error=error.str(), topic=message.topic())
            os._exit(70)
        self._acknowledged.append((ack, message.topic() or ""))

    def _settle(self) -> None:
        while self._acknowledged:
            ack, topic = self._acknowledged.popleft()
            observe.PRODUCED.labels(self._job, topic).inc()
            if not ack.done():
                ack.set_result(None)
