from collections import Counter
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import REGISTRY

from schemas.codec import Undecodable, encode
from schemas.example import Example, GivenVerdict
from schemas.record import MAX_CHUNK_BYTES
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams.normalise import chunks, newest, normalised, split
from streams.records import Out, Received


def trace(n: int) -> bytes:
    return bytes([n]) * 16


def sent(trace_id: int, span_id: int, parent: int = 0, /, **attributes: Any) -> dict[str, Any]:
    pairs = [
        {"key": key.replace("__", "."), "value": {"int_value" if isinstance(value, int) else "string_value": value}}
        for key, value in attributes.items()
    ]
    ids = {
        "trace_id": trace(trace_id),
        "span_id": span_id.to_bytes(8, "big"),
        "parent_span_id": parent.to_bytes(8, "big"),
    }
    return {**ids, "start_time_unix_nano": 1000, "end_time_unix_nano": 2000, "attributes": pairs}


def export(*groups: tuple[str, list[dict[str, Any]]]) -> bytes:
    return ExportTraceServiceRequest(
        resource_spans=[
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"string_value": service}}]},
                "scope_spans": [{"spans": spans}],
            }
            for service, spans in groups
        ]
    ).SerializeToString()


def test_spans_are_grouped_by_trace_with_the_resources_they_need() -> None:
    body = export(("a", [sent(1, 1), sent(2, 2)]), ("b", [sent(2, 3)]), ("unused", []), ("c", [sent(1, 4)]))
    made = chunks(body, "shop", 77)
    assert [(c.project, c.trace_id, c.ingested_at, c.resources) for c in made] == [
        ("shop", "01" * 16, 77, ({"service.name": "a"}, {"service.name": "c"})),
        ("shop", "02" * 16, 77, ({"service.name": "a"}, {"service.name": "b"})),
    ]
    assert [[(s.span_id[-1], s.resource, s.service) for s in c.spans] for c in made] == [
        [("1", 0, "a"), ("4", 1, "c")],
        [("2", 0, "a"), ("3", 1, "b")],
    ]


def test_a_child_inherits_even_when_it_stands_before_its_parent_and_in_another_resource() -> None:
    body = export(("a", [sent(1, 2, 1)]), ("b", [sent(1, 1, gen_ai__agent__name="Planner", session__id="s")]))
    assert [(span.agent, span.session_id) for span in chunks(body, "p", 0)[0].spans] == [
        ("Planner", "s"),
        ("Planner", "s"),
    ]


def test_spans_without_proper_ids_are_counted_and_the_rest_is_kept() -> None:
    told: Counter[str] = Counter()
    body = export(("a", [sent(0, 1), sent(1, 0), sent(0, 2), sent(1, 1)]))
    (chunk,) = chunks(body, "p", 0, told)
    assert (len(chunk.spans), told) == (1, {"bad_trace_id": 2, "bad_span_id": 1})


def test_bytes_that_are_no_export_are_undecodable() -> None:
    with pytest.raises(Undecodable, match="not a protobuf ExportTraceServiceRequest"):
        chunks(b"hello", "p", 0)


def test_of_several_updates_in_one_export_the_final_one_is_kept() -> None:
    partial = {"end_time_unix_nano": 1000}
    body = export(
        ("a", [
            {**sent(1, 1, judgment__update_id=0), **partial},
            sent(1, 1, judgment__update_id=2),
            {**sent(1, 1, judgment__update_id=1), **partial},
            {**sent(1, 2, judgment__update_id=0), **partial},
            {**sent(1, 2, judgment__update_id=1), **partial},
        ])
    )  # fmt: skip
    assert [(s.span_id[-1], s.revision, s.partial) for s in chunks(body, "p", 0)[0].spans] == [
        ("1", 2, False),
        ("2", 1, True),
    ]


def test_a_final_copy_wins_over_a_placeholder_whatever_their_order() -> None:
    final, placeholder = Span(span_id="a", name="final"), Span(span_id="a", name="pending", partial=True)
    assert newest([placeholder, final]) == newest([final, placeholder]) == [final]


def test_logfires_placeholder_and_its_span_in_one_export_are_one_span() -> None:
    pending = sent(1, 9, 1, logfire__span_type="pending_span", logfire__pending_parent_id="0" * 16)
    body = export(("a", [pending, sent(1, 1, logfire__span_type="span")]))
    assert [(s.span_id[-1], s.parent_span_id, s.partial) for s in chunks(body, "p", 0)[0].spans] == [("1", "", False)]


def test_a_trace_that_is_too_large_for_one_record_is_split_and_nothing_is_lost() -> None:
    body = export(("a", [sent(1, n, gen_ai__prompt="x" * 200_000) for n in range(1, 31)]), ("b", [sent(1, 40)]))
    made = chunks(body, "p", 0)
    assert len(made) > 1
    assert all(len(encode(chunk)) <= MAX_CHUNK_BYTES for chunk in made)
    assert [int(s.span_id, 16) for chunk in made for s in chunk.spans] == [*range(1, 31), 40]
    assert [chunk.resources for chunk in made] == [({"service.name": "a"},)] * (len(made) - 1) + [
        ({"service.name": "a"}, {"service.name": "b"})
    ]
    assert {span.service for chunk in made for span in chunk.spans[:-1]} == {"a"}


def test_the_largest_span_there_can_be_fits_into_a_record() -> None:
    long = "\u0001é" * 400_000
    attributes = {f"k{n}": long for n in range(12)} | {
        "gen_ai__prompt": long,
        "gen_ai__completion": long,
        "tag__tags": long,
    }
    names = dict.fromkeys(("session__id", "user__id", "gen_ai__agent__name", "gen_ai__request__model"), long)
    event = {"name": long, "attributes": [{"key": "a", "value": {"string_value": long}}]}
    whole = {
        **sent(1, 1, **attributes, **names),
        "name": long,
        "status": {"code": 2, "message": long},
        "events": [event],
    }
    (chunk,) = chunks(export((long, [whole])), "p", 0)
    assert len(encode(chunk)) <= MAX_CHUNK_BYTES


@pytest.mark.parametrize("size", [1000, 10_000, 20_000])
def test_texts_that_grow_most_on_their_way_fit_into_records_too(size: int) -> None:
    """A control character in an array takes one byte in OTLP and six in JSON."""
    array = {"array_value": {"values": [{"string_value": "\0" * size}]}}
    spans = [{**sent(1, number), "attributes": [{"key": "a", "value": array}]} for number in range(1, 41)]
    made = chunks(export(("a", spans)), "p", 0)
    assert all(len(encode(chunk)) <= MAX_CHUNK_BYTES for chunk in made)
    assert [span.span_id for chunk in made for span in chunk.spans] == [f"{number:016x}" for number in range(1, 41)]


def test_a_chunk_that_fits_is_handed_on_as_it_is() -> None:
    chunk = TraceChunk(project="p", trace_id="0" * 32, ingested_at=0, spans=(Span(span_id="a"), Span(span_id="b")))
    assert list(split(chunk)) == [chunk]


def received(value: bytes, headers: dict[str, bytes]) -> Received:
    return Received(Topic.OTLP_SPANS, 0, 0, 1_795_399_605_000, None, value, headers, None)


def test_the_job_takes_the_project_from_the_header_and_the_ingest_time_from_kafka() -> None:
    body = export(("a", [sent(1, 1), sent(2, 2)]))
    first, second = chunks(body, "shop", 1_795_399_605_000)
    assert list(normalised([received(body, {"vedette-project": b"shop"})])) == [
        Out(Topic.SPANS, b'["shop","01010101010101010101010101010101"]', first),
        Out(Topic.SPANS, b'["shop","02020202020202020202020202020202"]', second),
    ]


def spans_counted() -> float:
    return REGISTRY.get_sample_value("vedette_normalise_spans_total", {"dialect": "unknown_dialect"}) or 0


def test_a_batch_that_fails_is_counted_only_when_it_is_done() -> None:
    good, bad = received(export(("a", [sent(1, 1)])), {}), received(b"no export", {})
    before = spans_counted()
    with pytest.raises(Undecodable):
        normalised([good, bad])
    assert spans_counted() == before
    normalised([good])
    assert spans_counted() == before + 1


def test_a_replayed_dead_letter_keeps_its_ingest_time_and_without_a_header_the_project_is_default() -> None:
    (out,) = normalised([received(export(("a", [sent(1, 1)])), {"vedette-ingested-at": b"42"})])
    assert isinstance(out.value, TraceChunk)
    assert (out.value.project, out.value.ingested_at) == ("default", 42)


def test_an_evaluation_inside_a_span_is_an_example_with_the_traces_key() -> None:
    attributes = [
        {"key": "gen_ai.evaluation.name", "value": {"string_value": "Relevance"}},
        {"key": "gen_ai.evaluation.score.value", "value": {"double_value": 0.25}},
    ]
    judged = {**sent(1, 2, 1), "events": [{"name": "gen_ai.evaluation.result", "attributes": attributes}]}
    body = export(("a", [judged, sent(1, 1, gen_ai__agent__name="Planner")]))

    spans, example = normalised([Received(Topic.OTLP_SPANS, 0, 0, 7, None, body, {"vedette-project": b"shop"}, None)])

    assert isinstance(example.value, Example)
    assert (spans.topic, example.topic, example.key == spans.key) == (Topic.SPANS, Topic.EXAMPLES, True)
    assert (example.value.agent, example.value.span_id) == ("Planner", "0000000000000002")
    assert example.value.verdicts == (GivenVerdict(scorer="Relevance", value=0.25),)
