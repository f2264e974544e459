"""Who waits on `vedette.score-later`: for a scorer that does not exist yet, or for another try."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from schemas.later import LaterRequest
from schemas.topics import Topic
from streams import kafka
from streams.cli import reader
from streams.settings import Settings

NO_SCORER = "the scorer does not exist"


def waiters(settings: Settings, read_s: float) -> dict[str, LaterRequest]:
    """Returns who waits, by id. Reads no longer than `read_s` seconds; markers of what was not read yet are missing then.

    Raises:
        KafkaException: the brokers do not answer.

    """
    found: dict[str, LaterRequest] = {}
    decoder, until = reader.Decoder(settings), time.monotonic() + read_s
    for message in reader.between(settings, Topic.SCORE_LATER, _held(settings)):
        record = decoder.record(LaterRequest, message)
        if not isinstance(record, LaterRequest):
            continue
        if record.state == "waiting":
            found[record.later_id] = record
        else:
            found.pop(record.later_id, None)
        if time.monotonic() > until:
            break
    decoder.close()
    return found


def grouped(left: Mapping[str, LaterRequest]) -> Counter[tuple[str, str, str]]:
    """Returns how many wait by project, scorer and reason; without a reason they wait for the scorer to exist."""
    return Counter((one.project, one.scorer, one.reason if one.due_at else "") for one in left.values())


def told(left: Mapping[str, LaterRequest], most: int = 100) -> list[dict[str, Any]]:
    """Returns the same as data, the largest first."""
    return [
        {"project": project, "scorer": scorer, "evaluations": some, "reason": reason or NO_SCORER}
        for (project, scorer, reason), some in grouped(left).most_common(most)
    ]


def _held(settings: Settings) -> dict[int, int]:
    """Committed is the offset of the oldest that waits; of a partition that nobody has read, nothing."""
    group = ConsumerGroupTopicPartitions(kafka.group_name(settings, "later"))
    admin = kafka.admin(settings)  # a client that is let go takes its questions with it
    asked = admin.list_consumer_group_offsets([group], request_timeout=5)
    found: list[TopicPartition] = next(iter(asked.values())).result(5).topic_partitions
    return {one.partition: one.offset for one in found if one.offset >= 0}
