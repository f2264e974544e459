import io

import fastavro
import pytest

from schemas.codec import body
from schemas.record import Record
from schemas.score import Score
from schemas.span import Span, TraceChunk
from sinks.clickhouse.avro import READINGS, SCORES, SPANS, Reading, clickhouse_type
from sinks.clickhouse.migrate import columns, shipped
from sinks.clickhouse.rows import ROWS

CHUNK = TraceChunk(
    project="p", trace_id="a" * 32, ingested_at=5, spans=(Span(span_id="b" * 16), Span(span_id="c" * 16))
)
SCORE = Score(
    project="p", score_id="s", scorer="n", scorer_version="v", subject_kind="span", subject_id="t:s", outcome="pass", ingested_at=5
)  # fmt: skip


@pytest.mark.parametrize("table", READINGS)
def test_exactly_the_columns_that_the_migrations_make_are_written(table: str) -> None:
    assert READINGS[table].columns.keys() == columns(shipped())[table].keys()


@pytest.mark.parametrize(("reading", "record"), [(SPANS, CHUNK), (SCORES, SCORE)])
def test_the_file_is_one_that_other_readers_of_avro_read(reading: Reading, record: Record) -> None:
    found = list(fastavro.reader(io.BytesIO(reading.container([(7, body(record)), (300, body(record))]))))
    assert [entry.pop("offset") for entry in found] == [7, 300]
    assert [type(record).model_validate(entry) for entry in found] == [record, record]


def test_no_table_that_is_written_as_columns_is_made_of_records_that_come_unread() -> None:
    assert not {record for record, _ in ROWS.values()} & {reading.record for reading in READINGS.values()}


def test_only_the_fields_that_are_used_are_read() -> None:
    assert "amends" not in SPANS.statement("spans")
    assert " spans Array(Tuple(span_id String" in SPANS.statement("spans")


def test_types_are_clickhouses() -> None:
    entry = {"type": "record", "fields": [{"name": "a", "type": ["null", "double"]}, {"name": "b", "type": "bytes"}]}
    assert clickhouse_type({"type": "array", "items": entry}) == "Array(Tuple(a Nullable(Float64), b String))"
    assert clickhouse_type({"type": "map", "values": "boolean"}) == "Map(String, Bool)"
