"""A world under one seed: Kafka, ClickHouse, clocks, people and processes, all of them in memory, with faults between any two steps.

Processes are generators; each `yield` is a moment at which one may be killed (its memory is lost, what it wrote stays), or may lose its
partitions to a mate without noticing. What runs inside them are the jobs' own functions.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.ids import partition_of
from schemas.record import Record
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.rows import HALF_RANK, ROWS, Message, first_stays
from streams.records import Out, Received

START = 1_795_000_000_000
PARTITIONS = 2
MEMBERS = 2

ORDER_BY: Mapping[str, tuple[str, ...]] = {
    "spans": ("project", "start_time", "trace_id", "span_id", "run_id"),
    "scores": ("project", "scorer", "score_id"),
    "matches": ("project", "rule", "group_key", "rule_version", "subject_kind", "subject_id"),
    "alerts": ("project", "alert_id"),
    "alert_changes": ("project", "alert_id", "change"),
    "deliveries": ("project", "alert_id", "change", "destination", "recipient"),
}
"""As in `sinks/clickhouse/migrations`."""


def _spans(messages: Sequence[Message]) -> Mapping[str, Sequence[Any]]:
    found = [(m, m.record, span) for m in messages if isinstance(m.record, TraceChunk) for span in m.record.spans]
    return {
        **{name: [getattr(chunk, name) for _, chunk, _ in found] for name in ("project", "trace_id", "run_id")},
        **{name: [getattr(span, name) for _, _, span in found] for name in ("span_id", "start_time", "output")},
        "version": [first_stays(0 if s.partial else HALF_RANK + s.revision, m.offset) for m, _, s in found],
    }


def _scores(messages: Sequence[Message]) -> Mapping[str, Sequence[Any]]:
    found = [(m, m.record) for m in messages if isinstance(m.record, Score)]
    names = ("project", "scorer", "score_id", "trace_id", "outcome")
    return {
        **{name: [getattr(score, name) for _, score in found] for name in names},
        "version": [first_stays(score.attempt, message.offset) for message, score in found],
    }


READ_BY_CLICKHOUSE: Mapping[str, Any] = {"spans": (TraceChunk, _spans), "scores": (Score, _scores)}
"""What `sinks/clickhouse/avro.py` has ClickHouse do: as far as keys, versions and the checks need it."""


@dataclass(frozen=True)
class Entry:
    """A record on a topic."""

    key: bytes | None
    value: Record | bytes | None
    at: int
    headers: Mapping[str, bytes] = field(default_factory=dict)


class Crash(Exception):
    """A process ends here."""


Process = Iterator[None]


@dataclass
class World:
    """Everything that outlives a process."""

    seed: int
    mutants: frozenset[str] = frozenset()
    now: int = START
    faults: bool = True
    kill_share: float = 0.004
    """Of the steps, how many are a kill -9."""
    kills: int = 0
    moves: int = 0
    finished: bool = False
    """Clients have nothing more to send."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.log: dict[Topic, list[list[Entry]]] = defaultdict(lambda: [[] for _ in range(PARTITIONS)])
        self.committed: dict[tuple[str, Topic, int], int] = defaultdict(int)
        self.owners: dict[tuple[str, int], int] = defaultdict(int)
        self.rows: list[tuple[str, tuple[Any, ...], int, Mapping[str, Any]]] = []
        self.told: list[tuple[str, str, int]] = []
        """Destination, alert and change of everything that reached people."""
        self.passed: list[str] = []
        """Commits that passed work in flight."""
        self.sent: dict[str, Mapping[str, Any]] = {}
        """What clients tried to send, by span."""
        self.accepted: set[str] = set()

    def has(self, mutant: str) -> bool:
        """Whether a protection is taken out."""
        return mutant in self.mutants

    def chance(self, share: float) -> bool:
        """A fault, as long as there are faults."""
        return self.faults and self.random.random() < share

    def produce(self, out: Out) -> int:
        """Appends a record, sometimes twice as a producer does that lost its ack; returns its offset."""
        partition = out.partition if out.partition is not None else partition_of(out.key or b"", PARTITIONS)
        entries = self.log[out.topic][partition]
        for _ in range(2 if self.chance(0.02) else 1):
            self.now += self.random.randrange(3)
            entries.append(Entry(out.key, out.value, self.now, dict(out.headers)))
        return len(entries) - 1

    def owned(self, job: str, member: int) -> list[int]:
        """The partitions that a member of a group has now."""
        return [partition for partition in range(PARTITIONS) if self.owners[job, partition] == member]

    def received(self, topic: Topic, partition: int, offset: int) -> Received:
        """A record as its reader gets it."""
        entry = self.log[topic][partition][offset]
        record = entry.value if isinstance(entry.value, Record) and entry.key is not None else None
        raw = entry.value if isinstance(entry.value, bytes) else b""
        return Received(topic, partition, offset, entry.at, entry.key, raw, entry.headers, record)

    def commit(self, job: str, member: int, topic: Topic, partition: int, offset: int) -> None:
        """Commits as the group's coordinator lets it: who lost the partition commits nothing."""
        if self.owners[job, partition] == member:
            self.committed[job, topic, partition] = offset

    def insert(self, messages: Sequence[Message]) -> None:
        """Inserts records as the store does."""
        kinds = {type(message.record) for message in messages}
        for table, (record, rows) in {**ROWS, **READ_BY_CLICKHOUSE}.items():
            if record in kinds and table in ORDER_BY:
                columns = rows(messages)
                for values in zip(*columns.values(), strict=True):
                    row = dict(zip(columns, values, strict=True))
                    self.rows.append((table, tuple(row[name] for name in ORDER_BY[table]), row["version"], row))

    def table(self, name: str) -> list[Mapping[str, Any]]:
        """What `SELECT … FINAL` returns: of equal keys the row with the highest version."""
        if self.has("no_view_dedup"):
            return [row for table, _, _, row in self.rows if table == name]
        newest: dict[tuple[Any, ...], tuple[int, Mapping[str, Any]]] = {}
        for table, key, version, row in self.rows:
            if table == name and (key not in newest or version > newest[key][0]):
                newest[key] = version, row
        return [row for _, row in newest.values()]

    def lag(self, reads: Mapping[str, Sequence[Topic]]) -> int:
        """Records that some job has not read; ticks apart."""
        return sum(
            sum(entry.key is not None for entry in self.log[topic][partition][self.committed[job, topic, partition] :])
            for job, topics in reads.items()
            for topic in topics
            for partition in range(PARTITIONS)
        )


def run(world: World, make: Mapping[str, Callable[[], Process]], done: Callable[[], bool], most: int) -> None:
    """Lets processes step by chance, kills and moves some, and ends when all is done, or after so many steps."""
    living = {name: start() for name, start in make.items()}
    names = list(living)
    for number in range(most):
        name = world.random.choice(names)
        if world.chance(world.kill_share):
            living[name] = make[name]()
            world.kills += 1
        if world.chance(0.003):
            place = world.random.choice(sorted(world.owners)) if world.owners else None
            if place:
                world.owners[place] = world.random.randrange(MEMBERS)
                world.moves += 1
        try:
            next(living[name])
        except StopIteration:
            names.remove(name)
        except Crash:
            living[name] = make[name]()
        if number % 250 == 0 and done():
            return
