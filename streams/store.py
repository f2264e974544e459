"""The job `store`: everything that people look at later goes to ClickHouse, in batches, then the offsets are committed.

A batch that is repeated changes nothing: the tables keep one row of every identity (`sinks/clickhouse/rows.py`).
"""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import structlog
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.record import Record
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from sinks.clickhouse import client, migrate
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import MigrationRefused
from sinks.clickhouse.writer import Writer
from sinks.sink import Permanent, Transient
from streams import loop, observe
from streams.loop import Loop, Out, Received
from streams.settings import Settings

log = structlog.get_logger()

JOB = "store"
READS: Mapping[Topic, type[Record]] = {
    Topic.SPANS: TraceChunk,
    Topic.EXAMPLES: Example,
    Topic.SCORES: Score,
    Topic.RULE_EVENTS: RuleEvent,
    Topic.ALERTS: AlertChange,
    Topic.DELIVERIES: Delivery,
}
BATCH = 5_000
"""Records; a trace chunk has several rows, and ClickHouse wants few large inserts."""
WAIT_S = 1.0
"""How old a smaller batch may be."""

ROWS = Counter("vedette_stored_rows_total", "Rows inserted, repeated ones included", ["table"])


def job(settings: Settings, clickhouse: ClickHouse) -> Loop:
    """Returns the job; `clickhouse` must be migrated."""
    writer = Writer(clickhouse)

    def handle(batch: Sequence[Received]) -> Iterable[Out]:
        for table, rows in writer.insert(batch).items():
            ROWS.labels(table).inc(rows)
        observe.E2E_SECONDS.labels(JOB).observe(max(time.time() - oldest_ms(batch) / 1000, 0))
        return ()

    return Loop(JOB, settings, READS, handle, batch=BATCH, wait_s=WAIT_S)


def oldest_ms(batch: Sequence[Received]) -> int:
    """Returns the ingest time of the oldest subject of a batch, or the append time of records that carry none."""
    return min(getattr(message.record, "ingested_at", message.ingested_at) for message in batch)


def ready(settings: Settings, pause_s: float = 2) -> ClickHouse:
    """Returns the connection as soon as ClickHouse answers; tells every `pause_s` seconds that it does not.

    Raises:
        RuntimeError: the database is not as this release needs it; the message tells how to mend it.
        ValueError: the URL of ClickHouse is none.
    """
    while True:
        try:
            return _migrated(settings)
        except Transient as failure:
            log.warning("waiting for ClickHouse", reason=failure.reason, seconds=pause_s)
            time.sleep(pause_s)


def _migrated(settings: Settings) -> ClickHouse:
    clickhouse = client.connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)
    try:
        refuse_unmigrated(clickhouse)
    except BaseException:
        clickhouse.close()
        raise
    return clickhouse


def refuse_unmigrated(clickhouse: ClickHouse) -> None:
    """Raises RuntimeError, with the way out, when migrations are missing or were changed."""
    try:
        missing = migrate.pending(clickhouse)
    except MigrationRefused as refused:
        raise RuntimeError(f"the database {clickhouse.database} does not fit this release: {refused}") from refused
    if missing:
        names = ", ".join(migration.name for migration in missing)
        raise RuntimeError(
            f"the database {clickhouse.database} at {clickhouse.address} lacks {names}: run `vedette migrate`"
        )


def run(settings: Settings) -> None:
    """Runs the job as a process; leaves with 1 when the database is not migrated."""
    observe.configure_logs(settings, JOB)
    try:
        clickhouse = ready(settings)
    except (RuntimeError, ValueError, Permanent) as error:
        log.error("the job ends", error=str(error))
        sys.exit(1)
    loop.run(job(settings, clickhouse))
