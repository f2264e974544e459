"""What the normaliser does with log events, and with spans whose content may come in them."""

from pathlib import Path

import pytest

from schemas.codec import Undecodable, encode
from schemas.contents import SpanContents
from schemas.ids import record_key
from schemas.record import MAX_CHUNK_BYTES
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams.normalise import contents, normalised
from streams.records import Out, Received
from tests.support.contents import log_export

RECORDED = Path(__file__).parents[2] / "fixtures/otlp/opentelemetry-instrumentation-openai-v2-2.4b0"


def received(topic: Topic, body: bytes) -> Received:
    return Received(topic, 0, 0, 77, None, body, {"vedette-project": b"shop"}, None)


def spans_of(out: Out) -> list[tuple[str, str]]:
    """Kind and service of what an output holds."""
    chunk = out.value.waiting if isinstance(out.value, SpanContents) else out.value
    assert isinstance(chunk, TraceChunk)
    return [(span.kind, chunk.resources[span.resource]["service.name"]) for span in chunk.spans]


def test_only_the_calls_that_say_nothing_are_held_and_the_rest_of_their_trace_goes_on() -> None:
    body = (RECORDED / "agent-content-old-1.otlp.pb").read_bytes()
    goes, waits = normalised([received(Topic.OTLP_SPANS, body)], hold=True)
    assert (goes.topic, waits.topic) == (Topic.SPANS, Topic.SPAN_CONTENTS)
    assert goes.key == waits.key
    assert [kind for kind, _ in spans_of(goes)] == ["other"]
    assert [kind for kind, _ in spans_of(waits)] == ["llm", "llm"]


def test_nothing_is_held_when_nothing_waits_or_the_wait_is_turned_off() -> None:
    old, new = ((RECORDED / f"agent-content-{form}-1.otlp.pb").read_bytes() for form in ("old", "new"))
    assert [out.topic for out in normalised([received(Topic.OTLP_SPANS, old)])] == [Topic.SPANS]
    assert [out.topic for out in normalised([received(Topic.OTLP_SPANS, new)], hold=True)] == [Topic.SPANS]


def test_log_events_go_where_their_trace_waits() -> None:
    body = (RECORDED / "agent-content-old-1.logs.pb").read_bytes()
    (out,) = normalised([received(Topic.OTLP_LOGS, body)], hold=True)
    assert isinstance(out.value, SpanContents)
    assert (out.topic, out.key) == (Topic.SPAN_CONTENTS, record_key("shop", out.value.trace_id))
    assert (out.value.project, out.value.waiting, len(out.value.events)) == ("shop", None, 8)


def test_long_messages_are_told_in_several_records() -> None:
    made = log_export(*({"event_name": "gen_ai.choice", "text": "é" * 200_000} for _ in range(20)))
    told = contents(made.SerializeToString(), "shop")
    assert sum(len(one.events) for one in told) == 20
    assert len(told) > 1
    assert max(len(encode(one)) for one in told) <= MAX_CHUNK_BYTES


def test_what_is_no_export_of_logs_is_refused() -> None:
    with pytest.raises(Undecodable, match="ExportLogsServiceRequest"):
        contents(b"no export", "shop")
