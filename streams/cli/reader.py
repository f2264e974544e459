"""Reads topics for commands, without a group: nothing is committed, and only what is being read is in memory."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from schemas.alert import AlertChange
from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.later import LaterRequest
from schemas.record import Record
from schemas.request import ScoreRequest
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import kafka
from streams.schema_topic import SchemaTopic, schema_frame
from streams.settings import Settings

TOPICS: dict[str, tuple[Topic, type[Record]]] = {
    "spans": (Topic.SPANS, TraceChunk),
    "examples": (Topic.EXAMPLES, Example),
    "score-requests.code": (Topic.REQUESTS_CODE, ScoreRequest),
    "score-requests.hosted": (Topic.REQUESTS_HOSTED, ScoreRequest),
    "score-requests.judge": (Topic.REQUESTS_JUDGE, ScoreRequest),
    "score-later": (Topic.SCORE_LATER, LaterRequest),
    "scores": (Topic.SCORES, Score),
    "rule-events": (Topic.RULE_EVENTS, RuleEvent),
    "alerts": (Topic.ALERTS, AlertChange),
    "deliveries": (Topic.DELIVERIES, Delivery),
    "dataset-items": (Topic.DATASET_ITEMS, DatasetItem),
}
ANSWER_S = 10.0
"""How long the brokers may take to answer a question, and how long a read to the end may bring nothing."""
AT_ONCE = 200
"""Records that are handed over by librdkafka at once."""
QUEUED_KBYTES = 16 * 1024
"""What librdkafka fetches ahead at most."""
SCHEMA_S = 5.0
"""How long a record waits for its writer schema before it is shown as undecodable."""


class NoTopic(Exception):
    """The topic does not exist."""


class Silent(Exception):
    """The brokers stopped answering in the middle of a read."""


def to_the_end(settings: Settings, topic: Topic, since_ms: int = 0, last: int | None = None) -> Iterator[Message]:
    """Yields what stands on a topic now, each partition in order; what is written meanwhile is left out.

    `since_ms`: from the first record of this time on, in milliseconds; `last`: of each partition only the last so many offsets.

    Raises:
        KafkaException: the brokers do not answer.
        NoTopic: it does not exist.
        Silent: nothing came for 10 s though the end is not reached.

    """
    with closing(_consumer(settings)) as consumer:
        yield from _read(consumer, _places(consumer, settings, topic, since_ms), last)


def between(settings: Settings, topic: Topic, starts: Mapping[int, int]) -> Iterator[Message]:
    """Yields what stands on a topic from these offsets by partition up to now. Raises as `to_the_end` does."""
    name = kafka.topic_name(settings, topic)
    with closing(_consumer(settings)) as consumer:
        yield from _read(consumer, [TopicPartition(name, partition, offset) for partition, offset in starts.items()])


def _read(consumer: Consumer, where: list[TopicPartition], last: int | None = None) -> Iterator[Message]:
    ends: dict[int, int] = {}
    for place in where:
        first, end = consumer.get_watermark_offsets(place, timeout=ANSWER_S)
        start = max(place.offset, first, first if last is None else end - last)
        if place.offset != OFFSET_END and end > start:
            place.offset, ends[place.partition] = start, end
    consumer.assign([place for place in where if place.partition in ends])
    yield from _up_to(consumer, ends)


def _up_to(consumer: Consumer, ends: dict[int, int]) -> Iterator[Message]:
    heard = time.monotonic()
    while ends:
        for message in consumer.consume(AT_ONCE, timeout=0.5):
            partition, offset = message.partition() or 0, message.offset() or 0
            if message.error() is None and partition in ends:
                heard = time.monotonic()
                if offset + 1 >= ends[partition]:
                    end = ends.pop(partition)
                    if offset >= end:
                        continue
                yield message
        if time.monotonic() - heard > ANSWER_S:
            raise Silent(f"nothing came from Kafka for {ANSWER_S:g} s; see `vedette doctor`")


def follow(settings: Settings, topic: Topic, since_ms: int | None = None) -> Iterator[Message | None]:
    """Yields records as they come, without end, and None when nothing came for half a second.

    `since_ms`: from the first record of this time on, in milliseconds; None: from now on. Raises `KafkaException` and `NoTopic`.
    """
    with closing(_consumer(settings)) as consumer:
        consumer.assign(_places(consumer, settings, topic, since_ms))
        while True:
            found = consumer.consume(AT_ONCE, timeout=0.5)
            yield from (message for message in found if message.error() is None)
            if not found:
                yield None


def one(settings: Settings, topic: Topic, partition: int, offset: int) -> Message | None:
    """Returns the record at an offset, None when there is none. Raises `KafkaException` and `NoTopic`."""
    with closing(_consumer(settings)) as consumer:
        where = TopicPartition(_present(consumer, settings, topic, partition), partition, offset)
        first, end = consumer.get_watermark_offsets(where, timeout=ANSWER_S)
        if not first <= offset < end:
            return None
        consumer.assign([where])
        message = consumer.poll(ANSWER_S)
        found = message is not None and message.error() is None and message.offset() == offset
        return message if found else None


def _present(consumer: Consumer, settings: Settings, topic: Topic, partition: int) -> str:
    if partition not in _partitions(consumer, settings, topic):
        raise NoTopic(f"{kafka.topic_name(settings, topic)} has no partition {partition}")
    return kafka.topic_name(settings, topic)


def _consumer(settings: Settings) -> Consumer:
    return kafka.consumer(
        settings, kafka.group_name(settings, "commands"), **{"queued.max.messages.kbytes": QUEUED_KBYTES}
    )


def partitions(settings: Settings, topic: Topic) -> list[int]:
    """Returns the partitions of a topic. Raises `KafkaException` and `NoTopic`."""
    with closing(_consumer(settings)) as consumer:
        return _partitions(consumer, settings, topic)


def _partitions(consumer: Consumer, settings: Settings, topic: Topic) -> list[int]:
    name = kafka.topic_name(settings, topic)
    present = consumer.list_topics(name, timeout=ANSWER_S).topics[name]
    if present.error is not None:
        raise NoTopic(f"there is no topic {name}; `vedette topics` creates it")
    return sorted(present.partitions)


def _places(consumer: Consumer, settings: Settings, topic: Topic, since_ms: int | None) -> list[TopicPartition]:
    """Where to begin in every partition: at a time, at the beginning (0) or at the end (None)."""
    name = kafka.topic_name(settings, topic)
    numbers = _partitions(consumer, settings, topic)
    if not since_ms:
        offset = OFFSET_END if since_ms is None else OFFSET_BEGINNING
        return [TopicPartition(name, number, offset) for number in numbers]
    asked = [TopicPartition(name, number, since_ms) for number in numbers]
    where = consumer.offsets_for_times(asked, timeout=ANSWER_S)
    failed = next((p.error for p in where if p.error), None)
    if failed:
        raise KafkaException(failed)
    return where


class Decoder:
    """Reads records by the schemas that they were written with."""

    def __init__(self, settings: Settings) -> None:
        self._schemas = Schemas()
        self._topic = SchemaTopic(settings, self._schemas)

    def record(self, cls: type[Record], message: Message) -> Record:
        """Returns the record of a message.

        Raises:
            Undecodable: the bytes are no such record, or nobody tells the schema of their writer.

        """
        value, frame = message.value() or b"", schema_frame(message)
        try:
            return self._schemas.decode(cls, value, frame)
        except UnknownSchema as unknown:
            try:
                self._topic.wait_for(unknown, patience_s=SCHEMA_S)
            except UnknownSchema:
                raise Undecodable(f"nobody tells the schema of its writer: {unknown}") from None
            return self._schemas.decode(cls, value, frame)

    def close(self) -> None:
        """Closes what asks for schemas."""
        self._topic.close()
