"""What stands on the topics and how far behind every consumer group is."""

from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from streams import kafka, sending, topics
from streams.settings import Settings

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def topics_and_lag(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns, by topic, partitions and records kept, and, by job, the lag of its group.

    Raises:
        KafkaException: the brokers do not answer.

    """
    admin = kafka.admin(settings)
    present = admin.list_topics(timeout=5).topics
    ours = [name for name in topics.wanted(settings) if name in present]
    where = [TopicPartition(name, partition) for name in ours for partition in present[name].partitions]
    first, end = _offsets(admin, where, EARLIEST), _offsets(admin, where, LATEST)
    told = {name: {"partitions": len(present[name].partitions), "records": _records(name, first, end)} for name in ours}
    return told, {job: lag_of(admin, group, first, end) for job, group in _groups(settings, admin).items()}


Offsets = dict[tuple[str, int], int]


def _offsets(admin: AdminClient, where: list[TopicPartition], spec: OffsetSpec) -> Offsets:
    futures = admin.list_offsets(dict.fromkeys(where, spec), request_timeout=5) if where else {}
    return {(partition.topic, partition.partition): future.result(5).offset for partition, future in futures.items()}


def _records(topic: str, first: Offsets, end: Offsets) -> int:
    return sum(end[key] - first[key] for key in end if key[0] == topic)


def _groups(settings: Settings, admin: AdminClient) -> dict[str, str]:
    prefix = kafka.group_name(settings, "")
    listed = admin.list_consumer_groups(request_timeout=5).result(5).valid
    names = sorted(group.group_id for group in listed if group.group_id.startswith(prefix))
    return {name.removeprefix(prefix): name for name in names}


def lag_of(admin: AdminClient, group: str, first: Offsets, end: Offsets) -> dict[str, Any]:
    """Returns the records between a group and the ends of the topics that it reads, in all and by topic.

    Those are the topics of its members' partitions, and all that it has read from; a partition it has not committed is read from its beginning.
    """
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=5)
    found = next(iter(asked.values())).result(5).topic_partitions
    committed = {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}
    reads = {topic for topic, _ in committed} | _assigned(admin, group)
    lags: dict[str, int] = dict.fromkeys(sorted(reads), 0)
    for (topic, partition), last in end.items():
        if topic in reads:
            at = committed.get((topic, partition), first[topic, partition])
            lags[topic] += max(last - at, 0)
    return {"lag": sum(lags.values()), "topics": lags}


def _assigned(admin: AdminClient, group: str) -> set[str]:
    if group.endswith(sending.JOB):  # the ledger is state: it is read from its beginning and never committed
        return set()
    (described,) = admin.describe_consumer_groups([group], request_timeout=5).values()
    members = described.result(5).members
    return {partition.topic for member in members for partition in member.assignment.topic_partitions}
