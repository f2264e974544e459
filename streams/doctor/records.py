"""The newest records of every topic: whether they stand where murmur2 puts them, and whether they can be read."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from confluent_kafka import Message, TopicPartition

from schemas.codec import Schemas, Undecodable, UnknownSchema, described
from schemas.record import Record
from schemas.topics import Topic
from streams import kafka
from streams.api import status
from streams.cli import reader
from streams.doctor import partitioners
from streams.doctor.installation import Installation
from streams.doctor.result import Result, finding, ok
from streams.doctor.words import share
from streams.schema_topic import SchemaTopic, schema_frame

SAMPLE = 20
"""Records of each partition."""
READ_S = 3.0
NOT_BY_KEY = (Topic.DELIVERIES,)
"""Its records are placed by a part of their key."""
TORN = "let its producer use murmur2 (`partitioner=murmur2_random` in librdkafka): a trace whose records stand on two partitions is torn apart"


def readable_and_well_placed(place: Installation) -> Iterator[Result]:
    """Whose partitioner is another than murmur2, and which records nobody can read."""
    names = {kafka.topic_name(place.settings, topic): cls for topic, cls in reader.TOPICS.values()}
    free = {kafka.topic_name(place.settings, topic) for topic in NOT_BY_KEY}
    found, counts = sample(place, [*names, *place.settings.otlp_topics])
    bad: list[Result] = []
    for topic, messages in found.items():
        placed = [(m.key() or b"", m.partition() or 0, counts[topic]) for m in messages if m.key()]
        if topic in names:
            bad += [] if topic in free else _placing(topic, placed)
            bad += _reading(place, topic, names[topic], messages)
        elif placed:  # the normaliser sorts a Collector's records anew
            yield ok(f"partitioner of {topic}", f"{partitioners.used_by(placed)}; any is right on a raw topic")
    yield from bad
    if not bad:
        yield ok("newest records", f"{sum(map(len, found.values()))} looked at: murmur2, and readable")


def sample(place: Installation, names: Sequence[str]) -> tuple[dict[str, list[Message]], dict[str, int]]:
    """Returns the newest records with a key by topic, and the number of partitions by topic."""
    admin = kafka.admin(place.settings)
    where = status.partitions(admin, names)
    first, end = status.offsets(admin, where, status.EARLIEST), status.offsets(admin, where, status.LATEST)
    starts = {at: max(first[at], end[at] - SAMPLE) for at in end}
    counts = {name: sum(at[0] == name for at in end) for name in names}
    found: dict[str, list[Message]] = defaultdict(list)
    left = sum(end[at] - start for at, start in starts.items())
    consumer = kafka.consumer(place.settings, kafka.group_name(place.settings, "commands"))
    try:
        consumer.assign([TopicPartition(*at, start) for at, start in starts.items() if end[at] > start])
        until = time.monotonic() + READ_S
        while left > 0 and time.monotonic() < until:
            for message in consumer.consume(min(left, 500), timeout=0.3):
                left -= 1
                if message.error() is None and message.key() is not None and message.value() is not None:
                    found[message.topic() or ""].append(message)
    finally:
        consumer.close()
    return dict(found), counts


def _placing(topic: str, placed: Sequence[partitioners.Placed]) -> list[Result]:
    wrong = partitioners.elsewhere(placed)
    if not wrong:
        return []
    value = f"{share(len(wrong), len(placed))} stand elsewhere than murmur2 puts them; theirs is {partitioners.used_by(wrong)}"
    return [finding(f"a foreign producer writes {topic}", value, TORN)]


def _reading(place: Installation, topic: str, cls: type[Record], messages: Sequence[Message]) -> Iterator[Result]:
    schemas = Schemas()
    learned = SchemaTopic(place.settings, schemas)
    problems: dict[str, int] = defaultdict(int)
    asked: set[bytes] = set()
    for message in messages:
        problem = _problem(schemas, learned, asked, cls, message)
        problems[problem] += bool(problem)
    learned.close()
    for problem, count in problems.items():
        if problem:
            fix = (
                "start the release that wrote them once more: it publishes its schemas; bad ones go to `vedette dlq ls`"
            )
            yield finding(
                f"records on {topic} cannot be read", f"{share(count, len(messages))} of the newest: {problem}", fix
            )


def _problem(schemas: Schemas, learned: SchemaTopic, asked: set[bytes], cls: type[Record], message: Message) -> str:
    """Asks once for a schema that nobody here knows."""
    for _ in range(2):
        try:
            schemas.decode(cls, message.value() or b"", schema_frame(message))
            return ""
        except Undecodable as error:
            return str(error)
        except UnknownSchema as unknown:
            if unknown.frame in asked:
                break
            asked.add(unknown.frame)
            frame = unknown.frame
            try:
                learned.wait_for(unknown, patience_s=0)
            except UnknownSchema:
                return f"nobody tells {described(frame)}"
    return "nobody tells the schema of its writer"
