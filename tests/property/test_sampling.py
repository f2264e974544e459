"""Sampling for whatever names people choose."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.documents.scorer import Online, ScorerSpec
from schemas.example import Example, ScorerRef
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams.logic.configuration import Configuration
from streams.logic.sampling import keep
from streams.records import Received
from streams.sample import requests
from tests.support.records import chunk_received, configured, example_received

texts = st.text(max_size=40)
rates = st.floats(min_value=0, max_value=1)


@given(texts, texts, rates)
def test_the_same_subject_has_the_same_fate_every_time(project: str, subject: str, rate: float) -> None:
    assert keep(project, subject, rate) == keep(project, subject, rate)


@given(texts, texts, rates, rates)
def test_the_sample_of_a_lower_rate_is_a_part_of_the_sample_of_a_higher_one(
    project: str, subject: str, one: float, other: float
) -> None:
    lower, higher = sorted((one, other))
    assert not keep(project, subject, lower) or keep(project, subject, higher)


@given(trace=st.text("0123456789abcdef", min_size=32, max_size=32), rate=rates, spans=st.integers(1, 8))
def test_the_spans_and_examples_of_a_trace_share_its_fate(trace: str, rate: float, spans: int) -> None:
    online = (Online(target="span", sampling_rate=rate), Online(target="example", sampling_rate=rate))
    spec = ScorerSpec.model_validate({"type": "latency", "with": {"max_ms": 1}, "online": online})
    named = ScorerSpec(type="latency")
    configuration = configured(("Scorer", "quick", spec), ("Scorer", "named", named))
    chunk = TraceChunk(
        project="default",
        trace_id=trace,
        ingested_at=10_000,
        spans=tuple(Span(span_id=f"{n:016x}") for n in range(spans)),
    )
    example = Example(
        project="default", example_id="e", fields=b"{}", trace_id=trace, sampling_rate=rate,
        scorers=(ScorerRef(scorer="named"),),
    )  # fmt: skip
    kept = keep("default", trace, rate)
    assert asked(chunk_received(chunk), configuration) == ([("quick", n) for n in range(spans)] if kept else [])
    assert asked(example_received(example), configuration) == ([("named", 0), ("quick", 0)] if kept else [])


def asked(received: Received, configuration: Configuration) -> list[tuple[str, int]]:
    outs = requests(received, configuration)
    assert all(out.topic is Topic.REQUESTS_CODE for out in outs)
    pairs = [pair for out in outs for pair in getattr(out.value, "pairs", ())]
    return [(pair.scorer, pair.subject) for pair in pairs]
