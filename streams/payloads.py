"""Payloads of what waits on `vedette.score-later`, read by offset when their turn comes."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.codec import Schemas, UnknownSchema
from schemas.later import LaterRequest
from schemas.topics import Topic
from streams import kafka
from streams.schema_topic import SchemaTopic, schema_frame
from streams.settings import Settings

log = structlog.get_logger()

READ_WITHIN_S = 10.0
JUMP = 100
"""Records: so far apart, the next payload is jumped to, and what stands between is not read."""


class Payloads(Protocol):
    """What stands on `vedette.score-later`."""

    def end(self, partition: int) -> int:
        """Returns the offset after the last record of a partition."""
        ...

    def read(self, partition: int, offsets: Sequence[int]) -> Iterator[LaterRequest | None]:
        """Yields the record at each of these ascending offsets, None for one that is gone; ends early when Kafka does not answer."""
        ...


class OnTopic:
    """Payloads read from the topic by a consumer of their own."""

    def __init__(self, settings: Settings) -> None:
        self._name = kafka.topic_name(settings, Topic.SCORE_LATER)
        self._consumer: Consumer = kafka.consumer(settings, kafka.group_name(settings, "later-payloads"))
        self._schemas = Schemas()
        self._schema_topic = SchemaTopic(settings, self._schemas)

    def end(self, partition: int) -> int:
        """Returns the offset after the last record of a partition."""
        return int(self._consumer.get_watermark_offsets(TopicPartition(self._name, partition), timeout=30)[1])

    def read(self, partition: int, offsets: Sequence[int]) -> Iterator[LaterRequest | None]:
        """Yields the record at each of these ascending offsets, None for one that is gone; ends early when Kafka does not answer."""
        try:
            first, _ = self._consumer.get_watermark_offsets(
                TopicPartition(self._name, partition), timeout=READ_WITHIN_S
            )
            position = -JUMP
            for offset in offsets:
                if offset < first:
                    yield None
                    continue
                if offset - position >= JUMP:
                    self._consumer.assign([TopicPartition(self._name, partition, offset)])
                position = offset
                yield self._decoded(self._message(offset))
        except (KafkaException, TimeoutError) as error:
            log.warning("payloads cannot be read", partition=partition, error=str(error))
        finally:
            self._consumer.unassign()

    def _message(self, offset: int) -> Message:
        """Reads on to an offset."""
        while True:
            message = self._consumer.poll(READ_WITHIN_S)
            if message is None:
                raise TimeoutError(f"nothing came within {READ_WITHIN_S:g} s")
            if message.error():
                raise KafkaException(message.error())
            if (message.offset() or 0) > offset:  # it was still there a moment ago
                raise TimeoutError(f"offset {offset} went while it was read")
            if message.offset() == offset:
                return message

    def _decoded(self, message: Message) -> LaterRequest:
        while True:
            try:
                return self._schemas.decode(LaterRequest, message.value() or b"", schema_frame(message))
            except UnknownSchema as unknown:
                self._schema_topic.wait_for(unknown)
