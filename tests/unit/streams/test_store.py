from schemas.record import Record
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.rows import TABLES
from streams import store
from streams.records import Received


def received(record: Record | None, timestamp_ms: int) -> Received:
    return Received(Topic.SPANS, 0, 0, timestamp_ms, b"k", b"", {}, record)


def test_every_record_that_a_table_holds_is_read() -> None:
    assert set(store.READS.values()) == {record for record, _ in TABLES.values()}


def test_the_oldest_subject_of_a_batch_gives_its_age() -> None:
    chunk = TraceChunk(project="p", trace_id="t", ingested_at=500)
    score = Score(
        project="p",
        score_id="s",
        scorer="n",
        scorer_version="v",
        subject_kind="span",
        subject_id="t:s",
        outcome="pass",
        ingested_at=400,
    )
    event = RuleEvent(project="p", rule="r", rule_version="v")
    assert store.oldest_ms([received(chunk, 900), received(score, 950)]) == 400
    assert store.oldest_ms([received(chunk, 900), received(event, 450), received(None, 600)]) == 450
