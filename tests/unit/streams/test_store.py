from typing import Any

from schemas.codec import Unread, body
from schemas.record import Record
from schemas.rule import RuleEvent
from schemas.span import TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.avro import READINGS
from sinks.clickhouse.writer import TABLES
from streams import store
from streams.records import Received


def received(record: Record | Unread[Any] | None, timestamp_ms: int, partition: int = 0) -> Received:
    return Received(Topic.SPANS, partition, 0, timestamp_ms, b"k", b"", {}, record)


def test_every_record_that_a_table_holds_is_read() -> None:
    assert set(store.READS.values()) == set(TABLES.values())


def chunk(ingested_at: int) -> TraceChunk:
    return TraceChunk(project="p", trace_id="t", ingested_at=ingested_at)


def test_the_oldest_subject_of_a_batch_gives_its_age() -> None:
    event = RuleEvent(project="p", rule="r", rule_version="v")
    assert store.oldest_ms([received(chunk(500), 900), received(chunk(400), 950, partition=1)]) == 400
    assert store.oldest_ms([received(chunk(500), 900), received(event, 450, partition=1)]) == 450


def test_of_a_partition_only_the_first_record_is_read_for_its_age() -> None:
    first, damaged = Unread(TraceChunk, body(chunk(300))), Unread(TraceChunk, b"")
    assert store.oldest_ms([received(first, 900), received(damaged, 950)]) == 300


def test_what_clickhouse_reads_itself_is_left_unread() -> None:
    assert {store.READS[topic] for topic in store.UNREAD} == {reading.record for reading in READINGS.values()}
