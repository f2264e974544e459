"""Writer schemas on `vedette.schemas`: published before first use, read on when an unknown one is met."""

import time

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition

from schemas.codec import Schemas, UnknownSchema, fingerprint_of, schema_text
from schemas.record import Record
from schemas.topics import Topic
from streams import kafka
from streams.settings import Settings

log = structlog.get_logger()


def publish(settings: Settings, producer: Producer, *classes: type[Record]) -> None:
    """Puts the schemas of these records on the topic and waits for the broker's ack.

    Raises:
        KafkaException: the broker did not take them.

    """
    failed: list[object] = []
    for cls in classes:
        text = schema_text(cls)
        producer.produce(
            kafka.topic_name(settings, Topic.SCHEMAS),
            key=fingerprint_of(text),
            value=text,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    if producer.flush(30) or failed:
        raise KafkaException(failed[0] if failed else "no ack for a writer schema within 30 s")


class SchemaTopic:
    """Reads `vedette.schemas` on, from where it stands, whenever a payload names an unknown schema."""

    def __init__(self, settings: Settings, schemas: Schemas) -> None:
        self._settings = settings
        self._schemas = schemas
        self._consumer: Consumer | None = None

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
            self._schemas.add((message.value() or b"").decode())
        except Exception as error:  # fastavro raises whatever a damaged schema leads it into
            log.error("writer schema skipped", offset=message.offset(), error=f"{type(error).__name__}: {error}")

    def wait_for(self, unknown: UnknownSchema, patience_s: float = 30) -> None:
        """Reads on until the schema is there; its producer wrote it before the record, so it normally is at once.

        Raises:
            UnknownSchema: it did not come within `patience_s`; the caller keeps the record and asks again.

        """
        deadline = time.monotonic() + patience_s
        while True:
            self._try_to_read_on()
            if self._schemas.knows(unknown.fingerprint_hex):
                return
            if time.monotonic() > deadline:
                raise unknown
            log.warning(
                "waiting for a writer schema",
                fingerprint=unknown.fingerprint_hex,
                fix="its producer publishes it on vedette.schemas when it starts",
            )
            time.sleep(1)

    def _try_to_read_on(self) -> None:
        try:
            self.read_on()
        except KafkaException as error:
            log.warning("cannot read vedette.schemas", error=error.args[0].str())

    def close(self) -> None:
        """Closes the consumer."""
        if self._consumer is not None:
            self._consumer.close()
