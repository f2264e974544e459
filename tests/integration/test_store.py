"""The job `store` between a real Kafka and a real ClickHouse."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import TopicPartition
from prometheus_client import REGISTRY
from pydantic import SecretStr

from schemas.alert import AlertChange
from schemas.codec import encode
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.record import Record
from schemas.rule import Evaluated, RuleEvent, Tick
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import TABLES, Writer
from streams import kafka as clients
from streams import schema_topic, store, topics
from streams.settings import Settings

pytestmark = pytest.mark.integration

NOW_MS = 1_795_000_000_000


@pytest.fixture
def settings(kafka: str, clickhouse: str, database: str, topic_prefix: str) -> Settings:
    made = Settings(
        bootstrap_servers=kafka,
        partitions=2,
        topic_prefix=topic_prefix,
        clickhouse_url=SecretStr(clickhouse),
        clickhouse_database=database,
    )
    topics.create(made)
    return made


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = store.client.connect(clickhouse, database)
    migrate(connected)
    yield connected
    connected.close()


RECORDS: list[tuple[Topic, bytes | None, Record | None]] = [
    (
        Topic.SPANS,
        b"t",
        TraceChunk(
            project="p", trace_id="a", ingested_at=NOW_MS, spans=(Span(span_id="1"), Span(span_id="2")), tags=("vip",)
        ),
    ),
    (Topic.EXAMPLES, b"e", Example(project="p", example_id="e", fields=b'{"request":"hi"}')),
    (
        Topic.SCORES,
        b"t",
        Score(
            project="p",
            score_id="s",
            scorer="short",
            scorer_version="v",
            subject_kind="span",
            subject_id="a:1",
            outcome="pass",
            ingested_at=NOW_MS,
        ),
    ),
    (Topic.RULE_EVENTS, None, Tick(job="count")),
    (
        Topic.RULE_EVENTS,
        b"r",
        RuleEvent(
            project="p",
            rule="r",
            rule_version="v",
            evaluated=(Evaluated(subject_kind="span", subject_id="a:1", ingested_at=NOW_MS),),
        ),
    ),
    (
        Topic.ALERTS,
        b"r",
        AlertChange(
            project="p",
            rule="r",
            rule_version="v",
            alert_id="a",
            change=0,
            kind="fired",
            state="firing",
            fired_at=NOW_MS,
            changed_at=NOW_MS,
        ),
    ),
    (Topic.DELIVERIES, b"d", Delivery(project="p", destination="d", alert_id="a", change=0, state="sent")),
    (Topic.DELIVERIES, b"gone", None),
    (
        Topic.DATASET_ITEMS,
        b"i",
        DatasetItem(project="p", dataset="d", item_id="i", subject_kind="span", subject_id="a:1"),
    ),
]


def send(settings: Settings) -> None:
    producer = clients.producer(settings)
    kinds = {type(record) for _, _, record in RECORDS if record is not None}
    schema_topic.publish(settings, producer, *kinds)
    for topic, key, record in RECORDS:
        producer.produce(clients.topic_name(settings, topic), key=key, value=None if record is None else encode(record))
    assert producer.flush(30) == 0


@contextmanager
def working(settings: Settings, server: ClickHouse) -> Iterator[None]:
    writer = Writer(server)
    job = store.job(settings, lambda: writer)
    thread = threading.Thread(target=job.run)
    thread.start()
    try:
        yield
    finally:
        job.stopping.set()
        thread.join(30)
    assert not thread.is_alive()


def counts(server: ClickHouse) -> dict[str, int]:
    return {
        name: server.rows("SELECT count() FROM {ours:Identifier}.{name:Identifier} FINAL", {"name": name})[0][0]
        for name in TABLES
    }


def inserted(table: str) -> float:
    return REGISTRY.get_sample_value("vedette_stored_rows_total", {"table": table}) or 0


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


EXPECTED = {name: 2 if name == "spans" else 1 for name in TABLES}


def test_every_kind_of_record_arrives_and_a_second_reading_changes_nothing(
    settings: Settings, server: ClickHouse
) -> None:
    send(settings)
    with working(settings, server):
        until(lambda: counts(server) == EXPECTED)
    before = {name: inserted(name) for name in TABLES}
    send(settings)
    with working(settings, server):
        until(lambda: {name: inserted(name) - before[name] for name in TABLES} == EXPECTED)
    assert counts(server) == EXPECTED
    assert dead_letters(settings) == 0


def test_records_wait_for_clickhouse_and_none_becomes_a_dead_letter(settings: Settings, server: ClickHouse) -> None:
    server.execute(f"RENAME TABLE {server.database}.scores TO {server.database}.away")
    send(settings)
    with working(settings, server):
        until(lambda: server.rows("SELECT count() FROM {ours:Identifier}.spans FINAL") == [(2,)])
        time.sleep(1)
        server.execute(f"RENAME TABLE {server.database}.away TO {server.database}.scores")
        until(lambda: counts(server) == EXPECTED)
    assert dead_letters(settings) == 0


def test_a_damaged_record_is_put_aside_and_the_others_are_stored(settings: Settings, server: ClickHouse) -> None:
    send(settings)
    producer = clients.producer(settings)
    damaged = encode(RECORDS[0][2] or Tick(job=""))[:-3]
    producer.produce(clients.topic_name(settings, Topic.SPANS), key=b"t", value=damaged)
    assert producer.flush(30) == 0
    with working(settings, server):
        until(lambda: dead_letters(settings) == 1)
        until(lambda: counts(server) == EXPECTED)


def test_an_unmigrated_database_is_refused_with_the_way_out(settings: Settings, database: str) -> None:
    with pytest.raises(
        RuntimeError, match=rf"^the database {database} at .* lacks 0001_spans, .*: run `vedette migrate`$"
    ):
        store.ready(settings)


def test_a_database_with_changed_migrations_is_refused(settings: Settings, server: ClickHouse) -> None:
    server.execute("INSERT INTO {ours:Identifier}.migrations VALUES ('0001_spans', 'other', now())")
    with pytest.raises(RuntimeError, match="does not fit this release: 0001_spans: changed since it was applied"):
        store.ready(settings)


def test_the_job_waits_for_a_clickhouse_that_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception):
        """Ends the waiting."""

    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise Enough

    monkeypatch.setattr(store.time, "sleep", pause)
    away = settings.model_copy(update={"clickhouse_url": SecretStr("http://vedette:hidden@127.0.0.1:1")})
    with pytest.raises(Enough):
        store.ready(away, pause_s=0.25)
    assert waited == [0.25] * 3


def dead_letters(settings: Settings) -> int:
    watcher = clients.consumer(settings, f"{settings.topic_prefix}watcher")
    try:
        ends = [
            watcher.get_watermark_offsets(TopicPartition(clients.topic_name(settings, Topic.DLQ), number), timeout=10)[
                1
            ]
            for number in range(2)
        ]
    finally:
        watcher.close()
    return sum(ends)
