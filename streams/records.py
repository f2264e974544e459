"""What jobs read and write: records as they came, records to be, and dead letters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import structlog

from schemas.codec import SCHEMA_HEADER, Undecodable, Unread, encode
from schemas.record import MAX_RECORD_BYTES, Record
from schemas.topics import Topic
from sinks.sink import Permanent
from streams import observe

log = structlog.get_logger()

R = TypeVar("R", bound=Record)

TICKED = (Topic.RULE_EVENTS, Topic.RULE_CONDITIONS, Topic.SPAN_CONTENTS)
"""Topics into which their reader writes ticks."""
PARTITION_UA = -1
"""librdkafka's word for: let the partitioner choose."""
ROOM_FOR_HEADERS = 64 * 1024
"""What a record's key, headers and framing take at most of `MAX_RECORD_BYTES`."""


class Received(NamedTuple):
    """A record as it was read. A tuple, since every record of every job becomes one."""

    topic: Topic
    partition: int
    offset: int
    timestamp_ms: int
    """When Kafka appended it, on topics with append time."""
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]
    record: Record | Unread[Any] | None
    """None on raw topics and for ticks (no key)."""

    @property
    def ingested_at(self) -> int:
        """The ingest time that this record gives its subjects: a replayed dead letter carries its old one."""
        replayed = self.headers.get("vedette-ingested-at")
        return int(replayed) if replayed else self.timestamp_ms

    @property
    def schema_frame(self) -> bytes:
        """The frame of its schema if that stands in a header, else nothing."""
        return self.headers.get(SCHEMA_HEADER, b"")

    @property
    def is_tick(self) -> bool:
        """Tells whether this is a tick: it has no key and is expanded to the due keys of its partition."""
        return self.key is None and self.topic in TICKED

    def with_record(self, record: Record | Unread[Any]) -> "Received":
        """Returns the same with its value decoded, or left unread."""
        return self._replace(record=record)

    def of(self, cls: type[R]) -> R:
        """Returns the record, which must be of this class.

        Raises:
            Undecodable: it is of another.

        """
        if not isinstance(self.record, cls):
            raise Undecodable(f"expected a {cls.__name__}, found {type(self.record).__name__}")
        return self.record


@dataclass(frozen=True, slots=True)
class Out:
    """A record to write."""

    topic: Topic
    key: bytes | None
    value: Record | bytes | None
    """None: a tombstone."""
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    """None: by murmur2 of the key."""

    def encoded(self) -> "Out":
        """Returns the same with its value as bytes, so that what cannot be written shows before anything is.

        Raises:
            Permanent: the record is larger than Kafka takes.

        """
        if not isinstance(self.value, Record):
            return self
        value = encode(self.value)
        if len(value) > MAX_RECORD_BYTES - ROOM_FOR_HEADERS:
            raise Permanent(f"it makes a {type(self.value).__name__} of {len(value):,} bytes, more than Kafka takes")
        return replace(self, value=value)


Handle = Callable[[Sequence[Received]], Iterable[Out]]
Reads = Mapping[Topic, type[Record] | None]
"""Which topics a job reads, and as what; None: raw bytes."""


def dead_letter(job: str, received: Received, error: Exception) -> Out:
    """Returns the record for `vedette.dlq`: the bytes as they came, with where they stood and why they stay there."""
    reason = type(error).__name__
    text = error.reason if isinstance(error, Permanent) else str(error)
    observe.DEAD_LETTERS.labels(job, received.topic, reason).inc()
    log.error(
        "dead letter", topic=str(received.topic), partition=received.partition, offset=received.offset, error=text, reason=reason,
        project=received.headers.get("vedette-project", b"").decode(errors="replace"),
    )  # fmt: skip
    told = {
        "vedette-error-class": reason,
        "vedette-error-message": text[:1000],
        "vedette-error-job": job,
        "vedette-error-topic": str(received.topic),
        "vedette-error-partition": str(received.partition),
        "vedette-error-offset": str(received.offset),
    }
    headers = {"vedette-ingested-at": str(received.timestamp_ms).encode(), **received.headers}
    headers |= {name: value.encode(errors="replace") for name, value in told.items()}
    return Out(Topic.DLQ, received.key, received.value, tuple(headers.items()))


def too_many_unreadable(count: int, last: Received, error: Exception) -> str:
    """Returns why a job stops that can read nothing of what our own jobs write."""
    return (
        f"{count} records in a row cannot be read on {last.topic}, which our own jobs write: a bad release? "
        f"The last one: {error}. They are on vedette.dlq; VEDETTE_DLQ_LIMIT raises the limit"
    )
