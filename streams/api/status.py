"""What stands on the topics and how far behind every consumer group is."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from streams import kafka, loop, sending, topics
from streams.settings import Settings

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def topics_and_lag(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns, by topic, partitions and records kept, and, by job, the lag of its group.

    Raises:
        KafkaException: the brokers do not answer.

    """
    admin = kafka.admin(settings)
    where = partitions(admin, list(topics.wanted(settings)))
    first, end = offsets(admin, where, EARLIEST), offsets(admin, where, LATEST)
    counts = Counter(partition.topic for partition in where)
    told = {name: {"partitions": count, "records": _records(name, first, end)} for name, count in counts.items()}
    return told, {job: lag_of(admin, group, first, end) for job, group in groups(settings, admin).items()}


Offsets = dict[tuple[str, int], int]
"""By topic and partition."""


def partitions(admin: AdminClient, names: Sequence[str]) -> list[TopicPartition]:
    """Returns the partitions of those topics that exist. Raises `KafkaException`."""
    present = admin.list_topics(timeout=5).topics
    return [TopicPartition(name, part) for name in names if name in present for part in present[name].partitions]


def offsets(admin: AdminClient, where: Sequence[TopicPartition], spec: OffsetSpec) -> Offsets:
    """Returns the offsets of partitions by one of Kafka's specifications. Raises `KafkaException`."""
    futures = admin.list_offsets(dict.fromkeys(where, spec), request_timeout=5) if where else {}
    return {(partition.topic, partition.partition): future.result(5).offset for partition, future in futures.items()}


def _records(topic: str, first: Offsets, end: Offsets) -> int:
    return sum(end[key] - first[key] for key in end if key[0] == topic)


def groups(settings: Settings, admin: AdminClient) -> dict[str, str]:
    """Returns the consumer groups of this installation by job. Raises `KafkaException`."""
    prefix = kafka.group_name(settings, "")
    listed = admin.list_consumer_groups(request_timeout=5).result(5).valid
    names = sorted(group.group_id for group in listed if group.group_id.startswith(prefix))
    return {name.removeprefix(prefix): name for name in names}


def lag_of(admin: AdminClient, group: str, first: Offsets, end: Offsets) -> dict[str, Any]:
    """Returns the records between a group and the ends of the topics that it reads, in all and by topic."""
    lags: Counter[str] = Counter()
    for (topic, partition), at in committed(admin, group, first).items():
        lags[topic] += max(end.get((topic, partition), at) - at, 0)
    return {"lag": lags.total(), "topics": dict(sorted(lags.items()))}


def committed(admin: AdminClient, group: str, first: Offsets) -> Offsets:
    """Returns up to which offset a group has handled every partition of the topics that it reads. Raises `KafkaException`.

    Those are the topics of its members' partitions, and all that it has read from; a partition it has not committed is read from its beginning.
    """
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=5)
    found = next(iter(asked.values())).result(5).topic_partitions
    handled = {(p.topic, p.partition): loop.handled_to(p) for p in found if p.offset >= 0}
    reads = {topic for topic, _ in handled} | _assigned(admin, group)
    return {at: handled.get(at, offset) for at, offset in first.items() if at[0] in reads}


def _assigned(admin: AdminClient, group: str) -> set[str]:
    if group.endswith(sending.JOB):  # the ledger is state: it is read from its beginning and never committed
        return set()
    (described,) = admin.describe_consumer_groups([group], request_timeout=5).values()
    members = described.result(5).members
    return {partition.topic for member in members for partition in member.assignment.topic_partitions}
