"""Records for people: filters and lines."""

from schemas.example import Example, ScorerRef
from schemas.rule import Evaluated, RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from streams.cli import lines, reader

SCORE = Score(
    project="shop", score_id="s", scorer="polite", scorer_version="1", subject_kind="span", subject_id="t:s", trace_id="t",
    outcome="fail", ingested_at=1, value=0.25, agent="Clerk", reason="never says\nplease",
)  # fmt: skip
CHUNK = TraceChunk(
    project="shop", trace_id="t", ingested_at=1,
    spans=(Span(span_id="1", name="chat", kind="llm", agent="Clerk", duration_us=1_500), Span(span_id="2", agent="Porter")),
)  # fmt: skip


def test_a_filter_asks_the_record_and_what_it_carries() -> None:
    example = Example(project="shop", example_id="e", fields=b"{}", scorers=(ScorerRef(scorer="polite"),))
    evaluated = Evaluated(subject_kind="span", subject_id="t:s", ingested_at=1, trace_id="t")
    event = RuleEvent(project="shop", rule="r", rule_version="1", evaluated=(evaluated,))
    assert lines.passes(SCORE, {"scorer": "polite", "outcome": "fail", "project": "shop"})
    assert not lines.passes(SCORE, {"scorer": "polite", "outcome": "pass"})
    assert lines.passes(CHUNK, {"agent": "Porter"})
    assert not lines.passes(CHUNK, {"agent": "Cook"})
    assert lines.passes(example, {"scorer": "polite"})
    assert lines.passes(event, {"trace_id": "t", "rule": "r"})


def test_a_filter_that_a_topic_cannot_answer_is_known_before_anything_is_read() -> None:
    assert lines.unknown(TraceChunk, {"agent": "a", "scorer": "b", "outcome": "c"}) == ["scorer", "outcome"]
    assert lines.unknown(Score, {"agent": "a", "trace_id": "t", "scorer": "b", "outcome": "c"}) == []


def test_a_record_is_one_line_and_a_chunk_has_one_for_each_span_that_was_asked_for() -> None:
    at = 1_767_225_600_123
    assert lines.lines(SCORE, at, {}) == ["00:00:00.123  shop  fail  polite  0.25  Clerk  t:s  never says please"]
    assert [line.split("  ")[2:4] for line in lines.lines(CHUNK, at, {})] == [["llm", "chat"], ["other", "Porter"]]
    assert len(lines.lines(CHUNK, at, {"agent": "Porter"})) == 1
    long = SCORE.model_copy(update={"reason": "x" * 10_000})
    assert len(lines.lines(long, at, {})[0]) < 300


def test_every_topic_that_can_be_followed_has_a_line() -> None:
    assert [cls.__name__ for _, cls in reader.TOPICS.values() if cls not in lines._TELLERS] == []
