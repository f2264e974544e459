"""Writing from a batch loop: all records that a batch causes, and back when the broker has acknowledged every one."""

from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from schemas.codec import encode
from schemas.record import Record
from streams import kafka, observe
from streams.records import PARTITION_UA, Out
from streams.settings import Settings

log = structlog.get_logger()


class SyncProducer:
    """An idempotent producer that waits for its acks, and calls `waits` while they do not come."""

    def __init__(self, settings: Settings, job: str, waits: Callable[[], None]) -> None:
        self.producer = kafka.producer(settings)
        self._settings, self._job, self._waits = settings, job, waits

    def write(self, outs: Iterable[Out]) -> None:
        """Produces and returns when the broker has acknowledged everything.

        Raises:
            KafkaException: it refuses a record for good.

        """
        for out in outs:
            self._produce(out)
        while self.producer.flush(5):
            self._waits()
            log.warning("waiting for Kafka's acks", records=len(self.producer))

    def _produce(self, out: Out) -> None:
        value = encode(out.value) if isinstance(out.value, Record) else out.value
        partition = PARTITION_UA if out.partition is None else out.partition
        while True:
            try:
                self.producer.produce(
                    kafka.topic_name(self._settings, out.topic),
                    key=out.key,
                    value=value,
                    headers=list(out.headers),
                    partition=partition,
                    on_delivery=self._acknowledged,
                )
                return
            except BufferError:
                self.producer.poll(0.5)

    def _acknowledged(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)  # the job ends at the last commit and is started again
        observe.PRODUCED.labels(self._job, message.topic()).inc()
