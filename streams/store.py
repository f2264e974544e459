"""The job `store`: everything that people look at later goes to ClickHouse, in batches, then the offsets are committed.

A batch that is repeated changes nothing: the tables keep one row of every identity (`sinks/clickhouse/rows.py`).
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.codec import Unread
from schemas.dataset import DatasetItem
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
from streams.logic import retention
from streams.loop import Loop
from streams.records import Out, Received
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
    Topic.DATASET_ITEMS: DatasetItem,
}
UNREAD = (Topic.SPANS, Topic.SCORES)
"""ClickHouse reads them itself (`sinks/clickhouse/avro.py`)."""
BATCH = 5_000
"""Records; a trace chunk has several rows, and ClickHouse wants few large inserts."""
WAIT_S = 1.0
"""How old a smaller batch may be."""

ROWS = Counter("vedette_stored_rows_total", "Rows inserted, repeated ones included", ["table"])


def store(batch: Sequence[Received], writer: Writer) -> Iterable[Out]:
    """Inserts a batch over all its tables and partitions; a repetition changes nothing."""
    for table, rows in writer.insert(batch).items():
        ROWS.labels(table).inc(rows)
    observe.E2E_SECONDS.labels(JOB).observe(max(time.time() - oldest_ms(batch) / 1000, 0))
    return ()


def job(settings: Settings, writer: Callable[[], Writer]) -> Loop:
    """Returns the job; `writer` is asked for at the first batch."""
    return Loop(JOB, settings, READS, lambda batch: store(batch, writer()), unread=UNREAD, batch=BATCH, wait_s=WAIT_S)


def oldest_ms(batch: Sequence[Received]) -> int:
    """Returns the ingest time of the oldest subject of a batch, or the append time of records that carry none.

    The first record of a partition stands for the others: they are in the order of the log, and reading every one would cost more than
    storing it.
    """
    firsts = {(message.topic, message.partition): message for message in reversed(batch)}
    return min(map(_ingested_ms, firsts.values()))


def _ingested_ms(message: Received) -> int:
    record = message.record.read() if isinstance(message.record, Unread) else message.record
    return int(getattr(record, "ingested_at", message.ingested_at))


def ready(settings: Settings, pause_s: float = 2) -> ClickHouse:
    """Returns the connection as soon as ClickHouse answers; tells every `pause_s` seconds that it does not.

    Raises:
        RuntimeError: the URL is none, or the database is not as this release needs it; the text tells how to mend it.
    """
    while True:
        try:
            return _migrated(settings)
        except Transient as failure:
            log.warning("waiting for ClickHouse", reason=failure.reason, seconds=pause_s)
            time.sleep(pause_s)
        except (ValueError, Permanent) as error:
            raise RuntimeError(str(error)) from error


def _migrated(settings: Settings) -> ClickHouse:
    clickhouse = client.connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)
    try:
        refuse_unmigrated(clickhouse)
    except BaseException:
        clickhouse.close()
        raise
    return clickhouse


def flavour(settings: Settings) -> migrate.Flavour:
    """Returns what this installation decides about its tables."""
    return migrate.Flavour(settings.clickhouse_cluster, retention.parse(settings.retention).days())


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


def main(settings: Settings) -> None:
    """Runs the job until SIGTERM; leaves with 1 when the database is not migrated."""
    connected: list[Writer] = []
    loop.run(job(settings, lambda: connected[0]), before=lambda: connected.append(Writer(ready(settings))))
