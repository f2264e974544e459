"""The store beside the same batches sent straight: rows that are ready, inserted by the same driver into the same tables."""

import time
from collections.abc import Iterator, Sequence
from statistics import median

import pytest

from schemas.ids import record_key
from schemas.span import TraceChunk
from schemas.topics import Topic
from sinks.clickhouse import client, migrate
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.rows import TABLES
from streams import kafka
from streams.normalise import chunks
from streams.records import Received
from streams.store import BATCH
from tests.bench.backlog import Group, StandingStill
from tests.bench.figures import cpu_seconds, told
from tests.support.jobs import Installation
from tests.support.traffic import SPANS_OF_A_TRACE, Traffic

TRACES, ROUNDS = 18_000, 5
TIMED = 12_000
"""The last batch is not timed: it waits for more."""

pytestmark = pytest.mark.bench


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = client.connect(clickhouse, database)
    migrate.migrate(connected)
    yield connected
    connected.close()


def _load(installation: Installation, traffic: Traffic) -> list[TraceChunk]:
    now = time.time_ns()
    made = [
        chunk for _ in range(TRACES // 100) for chunk in chunks(traffic.body(100, now), "default", now // 1_000_000)
    ]
    for chunk in made:
        installation.put(Topic.SPANS, record_key(chunk.project, chunk.trace_id), chunk)
    installation.flush()
    return made


def _straight(server: ClickHouse, made: Sequence[TraceChunk]) -> float:
    """Returns the seconds that the inserts alone take."""
    (_, rows), context = TABLES["spans"], server.insertion("spans", migrate.columns(migrate.shipped())["spans"])
    seconds = 0.0
    for first in range(0, len(made), BATCH):
        part = [Received(Topic.SPANS, 0, first, 0, b"", b"", {}, chunk) for chunk in made[first : first + BATCH]]
        by_name = rows(part)
        columns = [by_name[name] for name in context.column_names]
        began = time.perf_counter()
        server.insert(context, columns)
        seconds += time.perf_counter() - began
    return seconds


def test_the_store_beside_the_same_batches_sent_straight(
    installation: Installation, server: ClickHouse, clickhouse: str, database: str
) -> None:
    (job,) = installation.start("store", clickhouse_url=clickhouse, clickhouse_database=database)
    group = Group(installation.settings, kafka.group_name(installation.settings, "store"), (Topic.SPANS,))
    traffic = Traffic()
    ours, straight, cpu = [], [], []
    for round_ in range(ROUNDS + 1):
        with StandingStill(job.process.pid):
            made, before = _load(installation, traffic), group.committed()
        began, used = time.perf_counter(), cpu_seconds(job.process.pid)
        installation.until(lambda start=before: group.committed() - start >= TIMED, patience_s=120, every_s=0.01)  # type: ignore[misc]
        seconds, used = time.perf_counter() - began, cpu_seconds(job.process.pid) - used
        done = group.committed() - before
        installation.until(group.is_drained, patience_s=120)
        baseline = _straight(server, made)
        if round_:  # the first one pays for connections and tables
            ours.append(done * SPANS_OF_A_TRACE / seconds)
            straight.append(TRACES * SPANS_OF_A_TRACE / baseline)
            cpu.append(used / seconds)
    goal = ">= 0.6 of the same batches sent straight, spans per second"
    assert told("store", goal, ours, straight, cpu_share=round(median(cpu), 2)) > 0
