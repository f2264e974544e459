"""Kafka clients with the settings that everything of ours needs."""

from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

from schemas.record import MAX_RECORD_BYTES
from schemas.topics import Topic
from streams.settings import Settings

log = structlog.get_logger()


def topic_name(settings: Settings, topic: Topic) -> str:
    """Returns the name of a topic in this installation."""
    return settings.topic_prefix + topic.value


def group_name(settings: Settings, job: str) -> str:
    """Returns the consumer group of a job."""
    return f"{settings.topic_prefix}vedette-{job}"


def told(error: KafkaError) -> None:
    """Logs what a client reports: one line when all brokers are gone, not one per connection that fails."""
    if error.code() != KafkaError._TRANSPORT:  # noqa: SLF001 - that is its public name
        log.warning("Kafka", error=error.str())


def common(settings: Settings) -> dict[str, Any]:
    """Returns what every client shares: addresses, SASL and TLS."""
    further = {name.lower().replace("_", "."): value for name, value in settings.kafka.items()}
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "log_level": 2,  # connection failures come by error_cb
        "error_cb": told,
        "reconnect.backoff.max.ms": 5000,
        **further,
    }


def producer(settings: Settings, **further: Any) -> Producer:
    """Returns an idempotent producer that waits for all replicas and partitions by murmur2 as Faust and Java do.

    It never gives a record up by itself (`delivery.timeout.ms` 0); a caller that must answer in time sets its own.
    """
    return Producer(
        {
            **common(settings),
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_RECORD_BYTES,
            "linger.ms": 2,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 256 * 1024,
            "queue.buffering.max.messages": 500_000,
            "delivery.timeout.ms": 0,
            **further,
        }
    )


def consumer(settings: Settings, group: str, **further: Any) -> Consumer:
    """Returns a consumer that starts at the beginning and commits only when told."""
    return Consumer(
        {
            **common(settings),
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 2_000,
            "max.poll.interval.ms": 300_000,
            "fetch.message.max.bytes": MAX_RECORD_BYTES,
            "fetch.max.bytes": 4 * MAX_RECORD_BYTES,
            "receive.message.max.bytes": 5 * MAX_RECORD_BYTES,
            "queued.max.messages.kbytes": 64 * 1024,
            "fetch.wait.max.ms": 500,
            "fetch.error.backoff.ms": 100,
            **further,
        }
    )


def admin(settings: Settings) -> AdminClient:
    """Returns an admin client."""
    return AdminClient(common(settings))
