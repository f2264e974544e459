"""Writer schemas on `vedette.schemas` and in the schema registry: published before first use, looked up when an unknown one is met."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

from schemas.codec import (
    ID_BYTES,
    MARKER,
    SCHEMA_HEADER,
    Frame,
    Schemas,
    Undecodable,
    UnknownSchema,
    described,
    fingerprint_of,
    schema_text,
    write_as,
)  # fmt: skip
from schemas.record import Record
from schemas.topics import Topic
from sinks.sink import Transient
from streams import kafka
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.registry import Registry

log = structlog.get_logger()

T = TypeVar("T")

ASKED = 3
"""Times that a registry must deny a schema, a second apart, before we believe it: a follower may lag behind its leader."""


def publish(settings: Settings, producer: Producer, *classes: type[Record]) -> None:
    """Puts the schemas of these records on the topic and waits for the broker's ack; with a registry, registers them there too.

    They stand on the topic under their ids as well: a registry that is away, or no longer used, keeps nobody from what was written by it.
    From then on `encode` frames them as the settings want it. A registry that is away is waited for.

    Raises:
        KafkaException: the broker did not take them.
        RuntimeError: the registry does not let us in or did not take them, or a setting of its client is wrong.

    """
    _put(settings, producer, {fingerprint_of(schema_text(cls)): schema_text(cls) for cls in classes})
    if settings.schema_registry.get_secret_value():
        with closing(registry_of(settings)) as registry:
            _until_it_answers(registry.enter)
            for cls in classes if settings.schema_registry_write else ():
                frame = _until_it_answers(registry.register, cls)
                _put(settings, producer, {frame.hex(): schema_text(cls)})
                write_as(cls, frame)


def registry_of(settings: Settings) -> "Registry":
    """Returns the client of the registry that the settings name.

    Raises:
        RuntimeError: the extra that brings the client is missing, or a setting of it is wrong.

    """
    try:
        from streams.registry import Registry  # noqa: PLC0415 - an extra, and 0.2 s for nothing where there is no registry
    except ImportError as missing:
        text = f"VEDETTE_SCHEMA_REGISTRY needs the extra `registry` of vedette-pipeline: {missing}"
        raise RuntimeError(text) from None
    return Registry(settings)


def _until_it_answers(ask: Callable[..., T], *arguments: object) -> T:
    """As with Kafka: nothing goes without it, so it is waited for as long as it takes."""
    while True:
        try:
            return ask(*arguments)
        except Transient as failure:
            log.warning("waiting for the schema registry", reason=failure.reason)
            time.sleep(1)


def _put(settings: Settings, producer: Producer, schemas: Mapping[str, str]) -> None:
    failed: list[object] = []
    for key, text in schemas.items():
        producer.produce(
            kafka.topic_name(settings, Topic.SCHEMAS),
            key=key,
            value=text,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    if producer.flush(30) or failed:
        raise KafkaException(failed[0] if failed else "no ack for a writer schema within 30 s")


def schema_frame(message: Message) -> Frame:
    """Returns the frame of a record's schema if it stands in a header, else nothing."""
    headers: dict[str, Any] = dict(message.headers() or ())
    return headers.get(SCHEMA_HEADER) or b""


class SchemaTopic:
    """Where unknown schemas are learned: reads `vedette.schemas` on, from where it stands, then asks the registry."""

    def __init__(self, settings: Settings, schemas: Schemas) -> None:
        self._settings = settings
        self._schemas = schemas
        self._consumer: Consumer | None = None
        self._registry: Registry | None = None
        self._denied: Counter[Frame] = Counter()

    def read_on(self) -> None:
        """Adds everything that stands on the topic now."""
        where = TopicPartition(kafka.topic_name(self._settings, Topic.SCHEMAS), 0, OFFSET_BEGINNING)
        if self._consumer is None:
            self._consumer = kafka.consumer(self._settings, kafka.group_name(self._settings, "schemas"))
            self._consumer.assign([where])
        self._consumer.resume([where])
        try:
            self._read_to_the_end(self._consumer, where)
        finally:
            self._consumer.pause([where])  # else it asks the broker twice a second for what comes once a release

    def _read_to_the_end(self, consumer: Consumer, where: TopicPartition) -> None:
        _, end = consumer.get_watermark_offsets(where, timeout=10)
        position = 0
        while position < end:
            for message in consumer.consume(100, timeout=1):
                if not message.error():
                    position = (message.offset() or 0) + 1
                    self._add(message)
            position = max(position, consumer.position([where])[0].offset)

    def _add(self, message: Message) -> None:
        try:
            name = bytes.fromhex((message.key() or b"").decode())
            self._schemas.add((message.value() or b"").decode(), name if len(name) == ID_BYTES else b"")
        except Exception as error:  # fastavro raises whatever a damaged schema leads it into
            log.error("writer schema skipped", offset=message.offset(), error=f"{type(error).__name__}: {error}")

    def wait_for(self, unknown: UnknownSchema, patience_s: float = 30) -> None:
        """Asks until it is settled what the schema is; its producer published it before the record, so it normally is at once.

        Raises:
            UnknownSchema: it was not within `patience_s`; the caller keeps the record and asks again.

        """
        deadline = time.monotonic() + patience_s
        while True:
            problem = self._ask(unknown.frame)
            if self._schemas.settled(unknown.frame):
                return
            if time.monotonic() > deadline:
                raise unknown
            log.warning("waiting for a writer schema", schema=described(unknown.frame), reason=problem)
            time.sleep(1)

    def _ask(self, frame: Frame) -> str:
        """Returns what was in the way, if the schema was not found."""
        try:
            self.read_on()
        except KafkaException as error:
            return f"cannot read vedette.schemas: {error.args[0].str()}"
        if frame.startswith(MARKER) or self._schemas.settled(frame):
            return "its producer publishes it on vedette.schemas when it starts"
        if self._settings.schema_registry.get_secret_value():
            return self._ask_registry(frame)
        self._schemas.refuse(frame, f"written by {described(frame)}, and VEDETTE_SCHEMA_REGISTRY names none")
        return ""

    def _ask_registry(self, frame: Frame) -> str:
        self._registry = self._registry or registry_of(self._settings)
        try:
            self._learn(self._registry.schema(frame), frame)
        except Transient as failure:
            return failure.reason
        except Undecodable as none:
            self._denied[frame] += 1
            if self._denied[frame] >= ASKED:
                self._schemas.refuse(frame, str(none))
            return str(none)
        return ""

    def _learn(self, text: str, frame: Frame) -> None:
        try:
            self._schemas.add(text, frame)
        except Exception as error:  # fastavro raises whatever a foreign schema leads it into
            self._schemas.refuse(frame, f"{described(frame)} cannot be used: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Closes the consumer and the registry's client."""
        for opened in (self._consumer, self._registry):
            if opened is not None:
                opened.close()
