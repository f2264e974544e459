"""Consumer groups: whether somebody is in them, and how far behind they are."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams import kafka, topics
from streams.api import status
from streams.cli.jobs import JOBS, command_of
from streams.doctor.installation import Installation
from streams.doctor.result import Result, finding, ok
from streams.doctor.words import span

WITHOUT_GROUP = ("bridge", "api")
BETWEEN_S = 2.5
"""From the first look at offsets to the second."""
SOON_S = 60.0
"""A job that has caught up by then only works."""
ASKED = 10
"""Of so many partitions we ask how long their next record has waited."""
READ_S = 1.0
MEND = "see `vedette status` and the job's log"


@dataclass(frozen=True)
class Behind:
    """How far a group was behind on one partition, twice."""

    first: int
    """Records between what it had committed and the end."""
    last: int
    read: int
    """Records that it committed in between."""
    seconds: float

    @property
    def remaining_s(self) -> float | None:
        """Returns in how many seconds it has caught up at this pace, None when it never will."""
        closed = self.first - self.last
        if self.last == 0:
            return 0.0
        return self.last * self.seconds / closed if closed > 0 else None


def members(place: Installation) -> Iterator[Result]:
    """Groups without a process, and jobs that nobody ever ran."""
    admin = kafka.admin(place.settings)
    found = status.groups(place.settings, admin)
    described = admin.describe_consumer_groups(list(found.values()), request_timeout=5) if found else {}
    numbers = {name: len(future.result(5).members) for name, future in described.items()}
    of_jobs = {job: numbers[name] for job, name in found.items()}
    lonely = [*(job for job, number in of_jobs.items() if not number), *_never(of_jobs)]
    for job in lonely:
        command = command_of(job)
        yield finding(
            f"no process of {job}", "nobody is in its group", f"start `vedette {command}`; its log tells why it ended"
        )
    if not lonely:
        yield ok("processes by group", ", ".join(f"{job} {number}" for job, number in of_jobs.items()))


def _never(of_jobs: Mapping[str, int]) -> list[str]:
    ran = {group.partition("-")[0] for group in of_jobs}
    return [job for job in JOBS if job not in ran and job not in WITHOUT_GROUP]


@dataclass(frozen=True)
class Slow:
    """A group that may be too slow on one partition."""

    job: str
    topic: str
    partition: int
    committed: int
    pace: Behind


def lag(place: Installation) -> Iterator[Result]:
    """Jobs that stand still, fall back, or need more than a minute to catch up, by partition: the largest lags first."""
    admin = kafka.admin(place.settings)
    where = status.partitions(admin, list(topics.wanted(place.settings)))
    first = status.offsets(admin, where, status.EARLIEST)
    groups = status.groups(place.settings, admin)
    started = time.monotonic()
    before = _behind(admin, groups, where, first)
    time.sleep(BETWEEN_S)
    after = _behind(admin, groups, where, first)
    slow = sorted(_slow(before, after, time.monotonic() - started), key=lambda one: -one.pace.last)
    found = list(_waiting(place, slow[:ASKED]))
    yield from found
    if not found:
        total = sum(behind for now in after.values() for _, behind in now.values())
        yield ok("lag", f"{total} records in all, on their way")


def _slow(before: "Offsets", after: "Offsets", seconds: float) -> Iterator[Slow]:
    for job, now in after.items():
        for (topic, partition), (committed, behind) in now.items():
            then = before.get(job, {}).get((topic, partition), (committed, behind))
            pace = Behind(then[1], behind, committed - then[0], seconds)
            if pace.first and pace.last and (pace.remaining_s is None or pace.remaining_s >= SOON_S):
                yield Slow(job, topic, partition, committed, pace)


def _waiting(place: Installation, slow: Sequence[Slow]) -> Iterator[Result]:
    """Of those that may be too slow, the ones whose next record has waited for long: the rest has only just come."""
    if not slow:
        return
    with closing(kafka.consumer(place.settings, kafka.group_name(place.settings, "commands"))) as consumer:
        for one in slow:
            waited_s = _age_s(consumer, one, place.now_ms())
            if waited_s >= SOON_S:
                yield judged(one.job, f"{one.topic}/{one.partition}", one.pace, waited_s)


def judged(job: str, where: str, pace: Behind, waited_s: float) -> Result:
    """Returns what is wrong with a job's pace on a partition whose next record has waited for so long."""
    what = f"{job} on {where}"
    records = f"{pace.last:,} records behind, the next has waited for {span(waited_s)}"
    more = f"start another `vedette {job.partition('-')[0]}`"
    if not pace.read:
        return finding(what, f"{records}; stands still", f"{MEND}: it waits for something, or is not there")
    if pace.remaining_s is None:
        grows = (pace.last - pace.first) / pace.seconds
        return finding(what, f"{records}; grows by {grows:.0f} records/s", more)
    return finding(what, f"{records}; done in {span(pace.remaining_s)} at this pace", f"wait, or {more}")


Place = tuple[str, int]
"""Topic and partition."""
Offsets = Mapping[str, Mapping[Place, tuple[int, int]]]
"""By job and partition what it has committed, and the records from there to the end."""


def _behind(
    admin: AdminClient, groups: Mapping[str, str], where: list[TopicPartition], first: status.Offsets
) -> dict[str, dict[Place, tuple[int, int]]]:
    end = status.offsets(admin, where, status.LATEST)
    found = {}
    for job, group in groups.items():
        committed = status.committed(admin, group, first)
        found[job] = {at: (offset, max(end[at] - offset, 0)) for at, offset in committed.items()}
    return found


def _age_s(consumer: Consumer, one: Slow, now_ms: int) -> float:
    """How long ago the first record was appended that a group has not read; 0 when that cannot be told."""
    consumer.assign([TopicPartition(one.topic, one.partition, one.committed)])
    message = consumer.poll(READ_S)
    if message is None or message.error() is not None:
        return 0.0
    return max(now_ms - message.timestamp()[1], 0) / 1000
