"""Kafka's messages into records: decoded, or handed over unread, or a dead letter when they can never be read."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from confluent_kafka import Message

from schemas.codec import Schemas, Undecodable, UnknownSchema, Unread
from schemas.record import Record
from schemas.topics import Topic
from streams import kafka, schema_topic
from streams.records import Out, Reads, Received, dead_letter, too_many_unreadable
from streams.settings import Settings


class TooManyUnreadable(RuntimeError):
    """So many records in a row cannot be read that the job must not go on."""

    def __init__(self, reason: str, letters: Sequence[Out]) -> None:
        super().__init__(reason)
        self.letters = letters
        """To be written before the job ends."""


class Reader:
    """Reads what one job is given. `unread` are topics whose records stay bytes when our own schema wrote them."""

    def __init__(self, job: str, settings: Settings, reads: Reads, unread: Collection[Topic] = ()) -> None:
        self.topics = {kafka.topic_name(settings, topic): topic for topic in reads}
        """By name, a Collector's own among them."""
        if Topic.OTLP_SPANS in reads:
            self.topics |= dict.fromkeys(settings.otlp_topics, Topic.OTLP_SPANS)
        self._job, self._settings, self._reads, self._unread = job, settings, reads, unread
        self._schemas = Schemas()
        self._schema_topic = schema_topic.SchemaTopic(settings, self._schemas)
        self._unreadable_in_a_row = 0

    def read(self, messages: Iterable[Message], *, in_full: bool = False) -> tuple[list[Received], list[Out]]:
        """Returns the records, nothing unread among them if `in_full`, and dead letters for those that can never be read.

        Raises:
            UnknownSchema: a writer's schema is not there yet.
            TooManyUnreadable: records that our own jobs wrote, one after the other.

        """
        batch: list[Received] = []
        unreadable: list[Out] = []
        in_a_row = self._unreadable_in_a_row  # noted at the end: a batch that is tried again counts once
        for received in map(self._raw, messages):
            try:
                batch.append(self._decoded(received, in_full=in_full))
                in_a_row = 0
            except Undecodable as error:
                unreadable.append(dead_letter(self._job, received, error))
                in_a_row += 1
                if in_a_row >= self._settings.dlq_limit:
                    raise TooManyUnreadable(too_many_unreadable(in_a_row, received, error), unreadable) from error
        self._unreadable_in_a_row = in_a_row
        return batch, unreadable

    def close(self) -> None:
        """Closes what schemas are learned with."""
        self._schema_topic.close()

    def _raw(self, message: Message) -> Received:
        return Received(
            topic=self.topics[message.topic() or ""],
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp_ms=message.timestamp()[1],
            key=message.key(),
            value=message.value() or b"",
            headers=self._headers(message),
            record=None,
        )

    def _headers(self, message: Message) -> dict[str, bytes]:
        project = self._settings.otlp_topics.get(message.topic() or "")
        if project is not None:  # a Collector's topic is one project's
            return {"vedette-project": project.encode()}
        given: list[Any] = message.headers() or []  # type: ignore[assignment]
        return {name: value or b"" for name, value in given}

    def _decoded(self, received: Received, *, in_full: bool) -> Received:
        cls = self._reads[received.topic]
        if cls is None or received.is_tick or not received.value:
            return received
        unread = received.topic in self._unread and not in_full
        try:
            return received.with_record(self._record(cls, received, unread=unread))
        except UnknownSchema as unknown:
            self._schema_topic.wait_for(unknown)
            return received.with_record(self._record(cls, received, unread=unread))

    def _record(self, cls: type[Record], received: Received, *, unread: bool) -> Record | Unread[Any]:
        found = self._schemas.unread(cls, received.value, received.schema_frame) if unread else None
        return found or self._schemas.decode(cls, received.value, received.schema_frame)
