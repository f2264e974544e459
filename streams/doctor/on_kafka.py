"""Kafka: whether it answers, its topics, its disks, its clock."""

import time
from collections import Counter
from collections.abc import Iterator

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message

from schemas.codec import encode
from schemas.rule import Tick
from schemas.topics import Topic
from streams import kafka, topics
from streams.doctor import log_dirs
from streams.doctor.installation import Installation
from streams.doctor.result import Result, finding, ok, unknown
from streams.doctor.words import size

ANSWER_S = 4.0
MOST_SKEW_MS = 2000
"""Configuration takes effect 2 s after its append: clocks that are further apart make times on screens and `--since` misleading."""
LEAST_FREE = 0.1
SHOWN = 5


def answers(place: Installation) -> Iterator[Result]:
    """Whether the brokers answer."""
    servers = place.settings.bootstrap_servers
    try:
        brokers = kafka.admin(place.settings).list_topics(timeout=ANSWER_S).brokers
    except KafkaException as error:
        fix = "start Kafka, or correct VEDETTE_BOOTSTRAP_SERVERS and VEDETTE_KAFKA__* (TLS, SASL)"
        yield finding(f"Kafka at {servers} does not answer", error.args[0].str(), fix)
        return
    yield ok("brokers", f"{len(brokers)}: {', '.join(f'{b.host}:{b.port}' for b in brokers.values())}")


def topics_as_they_must_be(place: Installation) -> Iterator[Result]:
    """Presence, partitions, timestamp type, retention and cleanup of every topic."""
    found = topics.check(place.settings, within_s=ANSWER_S)
    yield from (finding(one.topic, one.problem, one.fix) for one in found)
    if not found:
        yield ok("topics", f"all {len(topics.wanted(place.settings))} are as they must be")


def sizes(place: Installation) -> Iterator[Result]:
    """Bytes of every topic on the brokers' disks, replicas included, and what is left there."""
    found = log_dirs.directories(place.settings, ANSWER_S)
    ours = set(topics.wanted(place.settings))
    count: Counter[str] = Counter()
    for directory in found:
        count.update({name: taken for name, taken in directory.topics.items() if name in ours})
        yield from _disk(directory)
    largest = ", ".join(f"{name} {size(taken)}" for name, taken in count.most_common(SHOWN))
    yield ok("bytes on the brokers' disks", f"{size(count.total())}; {largest}")


def _disk(directory: log_dirs.Directory) -> Iterator[Result]:
    where = f"broker {directory.broker}, {directory.path}"
    fix = "make the volume larger, or keep less: VEDETTE_RETENTION, then `vedette topics`"
    if directory.error:
        yield finding(where, f"is offline (Kafka's error {directory.error})", "see the broker's log; mend its disk")
    elif directory.total < 0:
        yield unknown(where, "the broker does not tell what is free")
    elif directory.free < LEAST_FREE * directory.total:
        yield finding(where, f"{size(directory.free)} of {size(directory.total)} are free", fix)
    else:
        yield ok(where, f"{size(directory.free)} of {size(directory.total)} are free")


def clock(place: Installation) -> Iterator[Result]:
    """How far the leaders' clocks are from ours: a tick that each appends, by the append time in its acknowledgement.

    A tick has no key and moves nothing but time; the counter writes one every 5 s itself.
    """
    name = kafka.topic_name(place.settings, Topic.RULE_EVENTS)
    partitions = kafka.admin(place.settings).list_topics(name, timeout=ANSWER_S).topics[name].partitions
    leaders = {meta.leader: number for number, meta in sorted(partitions.items(), reverse=True)}
    for leader, partition in sorted(leaders.items()):
        yield _skew(place, name, leader, partition)


def _skew(place: Installation, topic: str, leader: int, partition: int) -> Result:
    appended: list[tuple[int, int]] = []
    failed: list[KafkaError] = []

    def acknowledged(error: KafkaError | None, message: Message) -> None:
        if error is None:
            appended.append(message.timestamp())
        else:
            failed.append(error)

    producer = kafka.producer(place.settings, **{"delivery.timeout.ms": 3000, "linger.ms": 0})
    before = time.time() * 1000
    producer.produce(topic, value=encode(Tick(job="doctor")), partition=partition, on_delivery=acknowledged)
    producer.flush(ANSWER_S)
    what = f"broker {leader}"
    if not appended or appended[0][0] != TIMESTAMP_LOG_APPEND_TIME:
        return unknown(what, failed[0].str() if failed else f"{topic} tells no append time")
    return judged(what, before, appended[0][1], time.time() * 1000)


def judged(what: str, before_ms: float, there_ms: float, after_ms: float) -> Result:
    """Returns what a clock that was asked between two moments of ours tells of itself."""
    ahead = max(there_ms - after_ms, 0) - max(before_ms - there_ms, 0)
    value = "as ours" if not ahead else f"{abs(ahead) / 1000:.1f} s {'ahead of' if ahead > 0 else 'behind'} ours"
    if abs(ahead) <= MOST_SKEW_MS:
        return ok(what, value)
    return finding(what, value, "set both clocks by NTP; ingest times come from the broker's")
