"""What piles up: dead letters, and evaluations that wait."""

import time
from collections import Counter
from collections.abc import Iterator

from confluent_kafka.admin._listoffsets import OffsetSpec

from schemas.topics import Topic
from streams import kafka
from streams.api import status
from streams.cli import reader
from streams.dead_letters import letter_of
from streams.doctor.installation import DAY_MS, Installation
from streams.doctor.result import Result, finding, ok
from streams.doctor.waiters import grouped, waiters
from streams.doctor.words import span

HOUR_MS = 3_600_000
READ_S = 4.0
SAMPLE = 200
SHOWN = 5
MEND = "`vedette dlq ls`; mend what wrote or read them, then `vedette dlq replay`"


def dead_letters(place: Installation) -> Iterator[Result]:
    """How many dead letters came in the last day, of what kind."""
    admin, now_ms = kafka.admin(place.settings), place.now_ms()
    where = status.partitions(admin, [kafka.topic_name(place.settings, Topic.DLQ)])
    end = status.offsets(admin, where, status.LATEST)
    first, day, hour = (
        status.offsets(admin, where, spec)
        for spec in (
            status.EARLIEST,
            OffsetSpec.for_timestamp(now_ms - DAY_MS),
            OffsetSpec.for_timestamp(now_ms - HOUR_MS),
        )
    )
    kept, of_day, of_hour = (_since(start, end) for start in (first, day, hour))
    if not of_day:
        yield ok("dead letters", f"none in the last day; {kept:,} are kept")
        return
    value = f"{of_day:,} in the last day, {of_hour:,} of them in the last hour; {kept:,} are kept; {_kinds(place, now_ms - DAY_MS)}"
    yield finding("dead letters grow", value, MEND)


def _since(start: status.Offsets, end: status.Offsets) -> int:
    """Records between two offsets; a start of -1 says that nothing is so new."""
    return sum(end[at] - offset for at, offset in start.items() if offset >= 0)


def _kinds(place: Installation, since_ms: int) -> str:
    until, count = time.monotonic() + READ_S, Counter[str]()
    for message in reader.to_the_end(place.settings, Topic.DLQ, since_ms):
        letter = letter_of(message)
        count[f"{letter.error} of {letter.job} on {letter.topic}"] += 1
        if count.total() >= SAMPLE or time.monotonic() > until:
            break
    return ", ".join(f"{number} {kind}" for kind, number in count.most_common(SHOWN))


def waiting(place: Installation) -> Iterator[Result]:
    """Evaluations that wait for a scorer, or for another try; read from the first that still waits."""
    left = waiters(place.settings, READ_S)
    for (project, scorer, reason), some in grouped(left).most_common(SHOWN):
        oldest = min(
            one.request.ingested_at
            for one in left.values()
            if one.request and (one.project, one.scorer) == (project, scorer)
        )
        age = span(max(place.now_ms() - oldest, 0) / 1000)
        value = f"{some:,} evaluations, the oldest subject came {age} ago{f': {reason}' if reason else ''}"
        yield judged(project, scorer, value, missing=not reason)
    if not left:
        yield ok("score-later", "nothing waits")


def judged(project: str, scorer: str, value: str, *, missing: bool) -> Result:
    """Returns what a scorer for which something waits means."""
    if missing:
        fix = "apply its document, or correct the name in what is sent; after VEDETTE_LATER_WAIT_S they are skipped"
        return finding(f"scorer {scorer!r} of project {project} does not exist", value, fix)
    return finding(
        f"scorer {scorer!r} of project {project} cannot judge now",
        value,
        "mend what the reason names; they are tried again by themselves",
    )
