"""The normaliser as a process on a real Kafka: raw exports in, trace chunks and dead letters out."""

from pathlib import Path

import pytest

from schemas.ids import record_key
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams.normalise import chunks
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

CAPTURE = Path(__file__).parents[1] / "fixtures/otlp/judgeval-0.22.2/agent-toolfail-1.otlp.pb"


def test_an_export_becomes_chunks_keyed_by_trace_and_damaged_bytes_a_dead_letter(installation: Installation) -> None:
    body = CAPTURE.read_bytes()
    installation.put(Topic.OTLP_SPANS, None, b"no export", {"vedette-project": b"shop"})
    installation.put(Topic.OTLP_SPANS, None, body, {"vedette-project": b"shop"})
    installation.flush()

    (job,) = installation.start("normalise")
    installation.until(
        lambda: len(installation.messages(Topic.SPANS)) == 1 and len(installation.messages(Topic.DLQ)) == 1
    )

    (written,) = installation.records(Topic.SPANS, TraceChunk)
    assert [written] == chunks(body, "shop", written.ingested_at)
    assert installation.messages(Topic.SPANS)[0].key() == record_key("shop", written.trace_id)
    assert [written.ingested_at] == [
        m.timestamp()[1] for m in installation.messages(Topic.OTLP_SPANS) if m.value() == body
    ]
    (dead,) = installation.messages(Topic.DLQ)
    assert dead.value() == b"no export"
    assert dict(dead.headers() or ())["vedette-error-class"] == b"Undecodable"
    assert 'vedette_normalise_spans_total{dialect="judgeval"} 4.0' in job.get("/metrics")
    assert job.terminate() == 0
