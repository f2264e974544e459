"""Reads topics for commands, without a group."""

from collections.abc import Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, Message, TopicPartition

from schemas.alert import AlertChange
from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.record import Record
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import kafka
from streams.schema_topic import SchemaTopic
from streams.settings import Settings

TOPICS: dict[str, tuple[Topic, type[Record]]] = {
    "spans": (Topic.SPANS, TraceChunk),
    "examples": (Topic.EXAMPLES, Example),
    "scores": (Topic.SCORES, Score),
    "rule-events": (Topic.RULE_EVENTS, RuleEvent),
    "alerts": (Topic.ALERTS, AlertChange),
    "deliveries": (Topic.DELIVERIES, Delivery),
}


class NoTopic(Exception):
    """The topic does not exist."""


def to_the_end(settings: Settings, topic: Topic) -> Iterator[Message]:
    """Yields everything that stands on a topic now.

    Raises:
        KafkaException: the brokers do not answer.
        NoTopic: it does not exist.

    """
    consumer, where = _assigned(settings, topic, OFFSET_BEGINNING)
    bounds = {p.partition: consumer.get_watermark_offsets(p, timeout=10) for p in where}
    left = {partition: end for partition, (first, end) in bounds.items() if end > first}
    while left:
        for message in consumer.consume(500, timeout=0.5):
            if message.error() is None:
                yield message
        for place in consumer.position(where):
            if place.offset >= left.get(place.partition, place.offset + 1):
                del left[place.partition]
    consumer.close()


def follow(settings: Settings, what: str, *, from_beginning: bool) -> Iterator[dict[str, Any]]:
    """Yields records as JSON data as they come, without end. Raises as `to_the_end` does."""
    topic, cls = TOPICS[what]
    schemas = Schemas()
    schema_topic = SchemaTopic(settings, schemas)
    consumer, _ = _assigned(settings, topic, OFFSET_BEGINNING if from_beginning else OFFSET_END)
    while True:
        for message in consumer.consume(100, timeout=0.5):
            if message.error() is None and message.key() is not None:  # without a key: a tick
                yield _decoded(schemas, schema_topic, cls, message.value() or b"")


def _decoded(schemas: Schemas, schema_topic: SchemaTopic, cls: type[Record], value: bytes) -> dict[str, Any]:
    try:
        return schemas.decode(cls, value).model_dump(mode="json")
    except UnknownSchema as unknown:
        schema_topic.wait_for(unknown)
        return schemas.decode(cls, value).model_dump(mode="json")
    except Undecodable as error:
        return {"undecodable": str(error)}


def _assigned(settings: Settings, topic: Topic, offset: int) -> tuple[Consumer, list[TopicPartition]]:
    name = kafka.topic_name(settings, topic)
    consumer = kafka.consumer(settings, kafka.group_name(settings, "commands"))
    present = consumer.list_topics(name, timeout=10).topics[name]
    if present.error is not None:
        raise NoTopic(f"there is no topic {name}; `vedette topics` creates it")
    where = [TopicPartition(name, partition, offset) for partition in present.partitions]
    consumer.assign(where)
    return consumer, where
