"""A whole trace as a subject: bounded, and told from what there is."""

import orjson

from schemas.span import Span, TraceChunk
from schemas.subject import Subject
from streams.logic.whole_trace import LIST_BYTES, MOST_SPANS, TEXT_BYTES, subject_of_trace


def trace(*spans: Span) -> Subject:
    return subject_of_trace(TraceChunk(project="shop", trace_id="t", ingested_at=1, spans=spans))


def span(number: int, parent: int | None = 0, **further: object) -> Span:
    above = "" if parent is None else f"{parent:016x}"
    return Span.model_validate({"span_id": f"{number:016x}", "parent_span_id": above, "start_time": number, **further})


def test_the_list_of_spans_is_bounded_and_says_so() -> None:
    text = "x" * 3 * TEXT_BYTES
    subject = trace(*(span(n, 0 if n else None, input=text, output="y") for n in range(MOST_SPANS + 7)))
    fields = orjson.loads(subject.fields)
    *listed, last = fields["spans"]
    assert fields["input"] == text
    assert (len(listed), last) == (MOST_SPANS, {"left_out": 7})
    assert len(listed[0]["input"]) <= TEXT_BYTES
    assert listed[0]["input"].startswith("xxx")
    assert listed[-1] == {"span_id": f"{MOST_SPANS - 1:016x}", "parent_span_id": f"{0:016x}", "kind": "other",
                          "start_time": MOST_SPANS - 1, "duration_ms": 0.0, "status": "unset", "cut": True}  # fmt: skip
    assert len(orjson.dumps(fields["spans"])) < LIST_BYTES + MOST_SPANS * 400


def test_without_a_root_the_span_that_began_first_stands_for_it() -> None:
    subject = trace(span(5, 1, output="late"), span(3, 1, output="early", status="error", status_message="broken"))
    assert subject.text("output") == "early"
    assert (subject.numbers["error"], subject.error_message) == (1.0, "broken")


def test_context_is_the_roots_else_the_first_that_is_known() -> None:
    subject = trace(
        span(3, 0, agent="porter", session_id="s-3", customer_id="c"),
        span(2, 0, session_id="s-2"),
        span(0, None, agent="clerk"),
    )
    assert (subject.agent, subject.session_id, subject.customer_id) == ("clerk", "s-2", "c")


def test_a_call_that_two_exports_report_is_paid_once() -> None:
    called = {"kind": "llm", "cost_usd": 0.5, "input_tokens": 3, "attrs": {"gen_ai.response.id": "r"}}
    subject = trace(span(0, None), span(1, **called), span(2, **called), span(3, **{**called, "attrs": {}}))
    assert (subject.numbers["cost_usd"], subject.numbers["tokens"]) == (1.0, 6.0)
