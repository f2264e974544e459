"""The least that reads records from Kafka: polls, decodes by fastavro into dicts, commits. A process of its own, for its CPU time."""

import io
import sys

from confluent_kafka import Consumer
from fastavro import parse_schema, schemaless_reader

from schemas.avro import RECORDS
from schemas.codec import MARKER
from schemas.record import avro_schema

FRAME = len(MARKER) + 8


def main(bootstrap: str, topic: str, group: str, record: str = "Score") -> None:
    """Reads a topic of records of one class for ever."""
    schema = parse_schema(avro_schema(next(cls for cls in RECORDS if cls.__name__ == record)))
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.subscribe([topic])
    while True:
        messages = consumer.consume(500, timeout=0.5)
        for message in messages:
            if message.key() is None:  # a tick
                continue
            body = io.BytesIO(message.value())  # type: ignore[arg-type]
            body.seek(FRAME)
            schemaless_reader(body, schema, None)
        if messages:
            consumer.commit(asynchronous=False)


main(*sys.argv[1:])
