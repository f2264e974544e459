import orjson
import pytest

from schemas.span import Span, TraceChunk
from schemas.subject import subject_of_span

CHUNK = TraceChunk(project="p", trace_id="t" * 32, ingested_at=0)
RAISED = orjson.dumps(
    [
        {"name": "retry", "attributes": {}},
        {"name": "exception", "attributes": {"exception.type": "KeyError", "exception.message": "'id'"}},
    ]
).decode()


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (Span(span_id="s", status="error", status_message="refused"), "refused"),
        (Span(span_id="s", status="ok", status_message="fine", events=RAISED), ""),
        (Span(span_id="s", status="unset", events=RAISED), "'id'"),
        (Span(span_id="s", status="unset", events=RAISED.replace("exception.message", "other")), "KeyError"),
        (Span(span_id="s", status="unset", events='[{"name":"log","attributes":{"told":"\\"exception\\""}}]'), ""),
        (Span(span_id="s"), ""),
    ],
)
def test_what_went_wrong_is_the_status_or_the_exception_of_a_span_without_one(span: Span, told: str) -> None:
    assert subject_of_span(CHUNK, span).error_message == told


def test_only_known_numbers_are_told() -> None:
    known = subject_of_span(CHUNK, Span(span_id="s", duration_us=1500, cost_usd=0.0, input_tokens=3)).numbers
    assert known == {"duration_ms": 1.5, "error": 0.0, "cost_usd": 0.0, "input_tokens": 3.0, "tokens": 3.0}
    assert subject_of_span(CHUNK, Span(span_id="s", status="error")).numbers == {"duration_ms": 0.0, "error": 1.0}
