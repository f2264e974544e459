"""The store beside the same batches sent straight: the same rows, ready as columns, inserted by the same driver into a table of the same kind."""

import time
from collections.abc import Iterator
from statistics import median

import pytest

from schemas.ids import record_key
from schemas.topics import Topic
from sinks.clickhouse import client, migrate
from sinks.clickhouse.client import ClickHouse
from streams import kafka
from streams.normalise import chunks
from streams.store import BATCH
from tests.bench.backlog import Group, StandingStill
from tests.bench.figures import cpu_seconds, rss_bytes, told
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
    connected.execute(f"CREATE TABLE {database}.again AS {database}.spans")
    yield connected
    connected.close()


def _load(installation: Installation, traffic: Traffic) -> None:
    now = time.time_ns()
    for _ in range(TRACES // 100):
        for chunk in chunks(traffic.body(100, now), "default", now // 1_000_000):
            installation.put(Topic.SPANS, record_key(chunk.project, chunk.trace_id), chunk)
    installation.flush()


def _straight(server: ClickHouse) -> float:
    """Returns the seconds that the inserts alone take, and makes room: every row that was stored, as columns that are ready."""
    context = server.insertion("again", migrate.columns(migrate.shipped())["spans"])
    names, seconds = ", ".join(f"`{name}`" for name in context.column_names), 0.0
    for first in range(0, TRACES * SPANS_OF_A_TRACE, BATCH * SPANS_OF_A_TRACE):
        part = f"SELECT {names} FROM {server.database}.spans ORDER BY trace_id, span_id LIMIT {BATCH * SPANS_OF_A_TRACE} OFFSET {first}"
        columns = server.driver.query(part, query_formats={"DateTime64*": "int"}).result_columns
        began = time.perf_counter()
        server.insert(context, columns)
        seconds += time.perf_counter() - began
    for table in ("spans", "again"):
        server.execute(f"TRUNCATE TABLE {server.database}.{table}")
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
            before = group.committed()
            _load(installation, traffic)
        began, used = time.perf_counter(), cpu_seconds(job.process.pid)
        installation.until(lambda start=before: group.committed() - start >= TIMED, patience_s=120, every_s=0.01)  # type: ignore[misc]
        seconds, used = time.perf_counter() - began, cpu_seconds(job.process.pid) - used
        done = group.committed() - before
        installation.until(group.is_drained, patience_s=120)
        baseline = _straight(server)
        if round_:  # the first one pays for connections and tables
            ours.append(done * SPANS_OF_A_TRACE / seconds)
            straight.append(TRACES * SPANS_OF_A_TRACE / baseline)
            cpu.append(used / seconds)
    goal = ">= 0.6 of the same batches sent straight, spans per second"
    assert (
        told("store", goal, ours, straight, cpu_share=round(median(cpu), 2), rss_mib=rss_bytes(job.process.pid) >> 20)
        > 0
    )
