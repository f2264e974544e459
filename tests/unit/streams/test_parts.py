"""From a chunk of spans to what is judged and matched: at once, as a whole trace, or when an ancestor is known."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

from schemas.contents import SpanContents
from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.request import ScoreRequest
from schemas.rule import RuleCondition, RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams.complete import Conditions, Traces
from streams.logic.configuration import Configuration
from streams.match import matches
from streams.records import Out, Received
from streams.sample import requests
from tests.support.contents import waiting
from tests.support.records import chunk_received, configured, entered, entry, score_received, version_of

TRACE = "ab" * 16
IDLE_MS = 600_000
Document = tuple[str, str, BaseModel]


def scorer(*online: dict[str, object], **further: object) -> ScorerSpec:
    return ScorerSpec.model_validate({"type": "not-empty", "online": online, **further})


def rule(when: dict[str, Any], **further: object) -> RuleSpec:
    return RuleSpec.model_validate({"when": when, **further})


SLOW = {"metric": "duration_ms", "op": ">", "value": 100}
FAILS = {"scorer": "s", "is": "fails"}


def span(number: int, parent: int | None = None, **further: object) -> Span:
    above = "" if parent is None else f"{parent:016x}"
    return Span.model_validate({"span_id": f"{number:016x}", "parent_span_id": above, **further})


def chunk(*spans: Span, **further: object) -> TraceChunk:
    return TraceChunk.model_validate(
        {
            "project": "default",
            "trace_id": TRACE,
            "ingested_at": 10_000,
            "spans": spans,
            "resources": ({"s": "x"},),
            **further,
        }
    )


class System:
    """The sampler, the matcher and `complete`, one after the other, without Kafka; each record is appended a millisecond later."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.traces = Traces(lambda: configuration, wait_ms=10_000, idle_ms=IDLE_MS)
        self.conditions = Conditions(lambda: configuration, kept_ms=3_600_000)
        self.now, self.outs = 20_000, list[Out]()

    def span_chunk(self, sent: TraceChunk) -> None:
        received = chunk_received(sent)
        self._write([*requests(received, self.configuration), *matches([received], self.configuration)])

    def score(self, sent: Score) -> None:
        self._write(matches([score_received(sent)], self.configuration))

    def after(self, milliseconds: int) -> None:
        self.now += milliseconds
        self._write(self.traces.handle([Received(Topic.SPAN_CONTENTS, 0, self.now, self.now, None, b"", {}, None)]))

    def contents(self, sent: SpanContents) -> None:
        self._read(Out(Topic.SPAN_CONTENTS, record_key(sent.project, sent.trace_id), sent))

    def _write(self, outs: Sequence[Out]) -> None:
        for out in outs:
            self.outs.append(out)
            if out.topic in (Topic.SPAN_CONTENTS, Topic.RULE_CONDITIONS):
                self._read(out)

    def _read(self, out: Out) -> None:
        self.now += 1
        record: Any = out.value
        received = Received(out.topic, 0, self.now, self.now, out.key, b"", {}, record)
        if out.topic is Topic.SPAN_CONTENTS:
            self._write(self.traces.handle([received]))
        else:
            self._write(self.conditions.fold(self.conditions.read([received])))

    def asked(self) -> list[tuple[str, str, int]]:
        """Scorers, subjects and attempts that were asked."""
        found = [out.value for out in self.outs if isinstance(out.value, ScoreRequest)]
        return [(p.scorer, r.subjects[p.subject].subject_id, r.attempt) for r in found for p in r.pairs]

    def matched(self) -> list[tuple[str, tuple[str, ...], str]]:
        """Rules, groups and subjects that matched."""
        found = [out.value for out in self.outs if isinstance(out.value, RuleEvent)]
        return [(event.rule, event.group, one.subject_id) for event in found for one in event.evaluated]

    def topics(self) -> set[Topic]:
        return {out.topic for out in self.outs}


def system(*documents: Document) -> System:
    return System(configured(*documents))


def sid(number: int) -> str:
    return f"{TRACE}:{number:016x}"


def test_a_whole_trace_is_asked_of_a_scorer_of_traces_with_the_agents_spans_in_it() -> None:
    of_traces = scorer({"target": "trace", "filter": {"agent": "clerk", "kind": "agent"}})
    found = system(
        ("Scorer", "s", of_traces), ("Scorer", "other", scorer({"target": "trace", "filter": {"agent": "x"}}))
    )
    call = span(
        2, 1, kind="llm", input="2+2", output="4", input_tokens=3, output_tokens=4, start_time=2_000, duration_us=1_000,
        attrs={"gen_ai.response.id": "r1"}, agent="porter", tags=("math",),
    )  # fmt: skip
    again = call.model_copy(update={"span_id": f"{3:016x}", "start_time": 2_500})
    root = span(
        1, kind="agent", agent="clerk", name="run", input="q", output="a", start_time=1_000, duration_us=9_000,
        session_id="s-1", attrs={"plan": "gold"},
    )  # fmt: skip
    found.span_chunk(chunk(call))
    found.span_chunk(chunk(again))
    found.span_chunk(chunk(root, ingested_at=12_000))
    assert found.asked() == []
    found.after(2_000)
    assert found.asked() == [("s", TRACE, 0)]
    request = found.outs[-1].value
    assert isinstance(request, ScoreRequest)
    (subject,) = request.subjects
    assert (request.ingested_at, request.pairs[0].why) == (12_000, "online, 1 of its traces")
    assert (subject.kind, subject.trace_id, subject.span_name, subject.span_kind) == ("trace", TRACE, "run", "agent")
    assert (subject.agent, subject.session_id, subject.tags) == ("clerk", "s-1", ("math",))
    assert subject.numbers == {
        "duration_ms": 9.0, "error": 0.0, "input_tokens": 3.0, "output_tokens": 4.0, "tokens": 7.0,
    }  # fmt: skip
    fields = orjson.loads(subject.fields)
    assert (fields["input"], fields["output"]) == ("q", "a")
    assert [(one.get("name", ""), one.get("agent"), one.get("output")) for one in fields["spans"]] == [
        ("run", "clerk", "a"), ("", "porter", "4"), ("", "porter", "4"),
    ]  # fmt: skip


def test_a_late_span_makes_another_attempt_that_moves_no_rule() -> None:
    found = system(("Scorer", "s", scorer({"target": "trace"})), ("Rule", "r", rule({"all": [FAILS]})))
    found.span_chunk(chunk(span(1)))
    found.after(5_000)
    found.span_chunk(chunk(span(2, 1), ingested_at=30_000))
    found.after(5_000)
    assert found.asked() == [("s", TRACE, 0), ("s", TRACE, 1)]
    score = Score(
        project="default", score_id="1", scorer="s", scorer_version="v", subject_kind="trace", subject_id=TRACE,
        trace_id=TRACE, outcome="fail", ingested_at=10_000,
    )  # fmt: skip
    found.score(score.model_copy(update={"attempt": 1}))
    assert found.matched() == []
    found.score(score)
    assert found.matched() == [("r", (), TRACE)]


def test_only_traces_in_the_sample_are_put_together() -> None:
    found = system(
        ("Scorer", "s", scorer({"target": "trace", "sampling_rate": 0.0})), ("Scorer", "t", scorer({"target": "span"}))
    )
    found.span_chunk(chunk(span(1)))
    assert found.topics() == {Topic.REQUESTS_CODE}


@pytest.mark.parametrize(
    "document",
    [
        ("Rule", "r", rule({"any": [FAILS, SLOW]}, filter={"kind": "llm"}, group_by=["attribute:plan"])),
        ("Scorer", "s", scorer({"target": "span", "filter": {"span": "run", "kind": "llm"}})),
        ("Scorer", "s", scorer({"target": "trace"}, enabled=False)),
    ],
)
def test_what_asks_for_no_context_and_no_trace_writes_nothing_for_complete(document: Document) -> None:
    found = system(document)
    found.span_chunk(chunk(span(1), span(2, 1)))
    assert Topic.SPAN_CONTENTS not in found.topics()


def test_a_scorer_takes_a_span_when_an_ancestor_in_a_later_export_names_the_agent() -> None:
    of_clerk = scorer({"target": "span", "filter": {"agent": "clerk", "kind": "llm"}})
    found = system(("Scorer", "s", of_clerk), ("Scorer", "all", scorer({"target": "span"})))
    found.span_chunk(chunk(span(3, 2, kind="llm"), span(2, 1, kind="tool")))
    assert found.asked() == [("all", sid(3), 0), ("all", sid(2), 0)]
    found.span_chunk(chunk(span(1, agent="clerk", kind="agent")))
    assert found.asked()[2:] == [("all", sid(1), 0), ("s", sid(3), 0)]


def test_a_scorer_that_might_take_a_span_by_an_earlier_entry_waits_to_know_which() -> None:
    two = scorer(
        {"target": "span", "filter": {"agent": "clerk"}, "sampling_rate": 1.0},
        {"target": "span", "sampling_rate": 0.999999},
    )
    found = system(("Scorer", "s", two))
    found.span_chunk(chunk(span(2, 1)))
    assert found.asked() == []
    found.span_chunk(chunk(span(1, agent="porter")))
    assert sorted(found.asked()) == [("s", sid(1), 0), ("s", sid(2), 0)]


def test_a_rule_of_spans_grouped_by_session_groups_right_though_only_the_root_has_it() -> None:
    found = system(("Rule", "r", rule({"any": [SLOW]}, group_by=["session"])))
    found.span_chunk(chunk(span(2, 1, duration_us=200_000), span(3, 1)))
    assert found.matched() == []
    found.span_chunk(chunk(span(1, session_id="s-1")))
    assert found.matched() == [("r", ("s-1",), sid(2))]


def test_a_score_waits_for_its_spans_session_before_or_after_its_span_came() -> None:
    score = Score(
        project="default", score_id="1", scorer="s", scorer_version="v", subject_kind="span", subject_id=sid(2),
        trace_id=TRACE, span_id=f"{2:016x}", outcome="fail", ingested_at=10_000, reason="bad",
    )  # fmt: skip
    for early in (True, False):
        found = system(
            ("Rule", "r", rule({"all": [FAILS]}, group_by=["session"])), ("Rule", "any", rule({"all": [FAILS]}))
        )
        if early:
            found.score(score)
        found.span_chunk(chunk(span(2, 1)))
        if not early:
            found.score(score)
        assert found.matched() == [("any", (), sid(2))]
        found.span_chunk(chunk(span(1, session_id="s-1")))
        assert found.matched()[1:] == [("r", ("s-1",), sid(2))]


def test_a_score_whose_trace_never_comes_matches_without_when_its_time_is_over() -> None:
    score = Score(
        project="default", score_id="1", scorer="s", scorer_version="v", subject_kind="span", subject_id=sid(2),
        trace_id=TRACE, span_id=f"{2:016x}", outcome="fail", ingested_at=10_000,
    )  # fmt: skip
    found = system(
        ("Rule", "r", rule({"all": [FAILS]}, group_by=["session"])),
        ("Rule", "f", rule({"all": [FAILS]}, filter={"session": "s-1"})),
    )
    found.score(score)
    found.after(IDLE_MS)
    assert found.matched() == [("r", ("",), sid(2))]


def test_all_of_several_over_one_trace_matches_once_with_the_group_of_the_first_whose_context_came_late() -> None:
    several = rule({"all": [FAILS, SLOW]}, group_by=["session"])
    score = Score(
        project="default", score_id="1", scorer="s", scorer_version="v", subject_kind="span", subject_id=sid(2),
        trace_id=TRACE, span_id=f"{2:016x}", outcome="fail", ingested_at=10_000,
    )  # fmt: skip
    found = system(("Rule", "r", several))
    found.score(score)
    found.span_chunk(chunk(span(2, 1, duration_us=200_000)))
    assert not [out for out in found.outs if isinstance(out.value, RuleCondition)]
    found.span_chunk(chunk(span(1, session_id="s-1")))
    assert found.matched() == [("r", ("s-1",), TRACE)]
    found.score(score.model_copy(update={"session_id": "s-1"}))
    assert len(found.matched()) == 1


def test_experiments_are_judged_when_their_context_is_known_and_move_no_rule() -> None:
    of_clerk = scorer({"target": "span", "filter": {"agent": "clerk"}})
    found = system(("Scorer", "s", of_clerk), ("Rule", "r", rule({"any": [SLOW]}, group_by=["agent"])))
    for one in (span(2, 1, duration_us=200_000), span(1, agent="clerk", duration_us=200_000)):
        found.span_chunk(chunk(one, origin="experiment", run_id="run"))
    assert sorted(found.asked()) == [("s", sid(1), 0), ("s", sid(2), 0)]
    assert found.matched() == []


def test_the_versions_in_effect_at_a_spans_ingest_time_decide_though_its_context_comes_later() -> None:
    old, new = (
        scorer({"target": "span", "filter": {"agent": "clerk"}}),
        scorer({"target": "span", "filter": {"agent": "porter"}}),
    )
    found = System(entered([(entry("Scorer", "s", old), 0), (entry("Scorer", "s", new), 13_000)]))
    found.span_chunk(chunk(span(2, 1)))
    found.span_chunk(chunk(span(1, agent="clerk"), ingested_at=20_000))
    (request,) = [out.value for out in found.outs if isinstance(out.value, ScoreRequest)]
    assert (request.pairs[0].version, request.ingested_at) == (version_of(old), 10_000)


def test_a_trace_waits_for_its_spans_that_wait_for_content() -> None:
    found = System(configured(("Scorer", "s", scorer({"target": "trace"})), project="shop"))
    held = waiting(0)
    assert held.waiting is not None
    at = {"ingested_at": 10_000}
    held = held.model_copy(update={"waiting": held.waiting.model_copy(update=at)})
    found.contents(held)
    root = held.waiting.model_copy(update={**at, "spans": (span(7),)})  # type: ignore[union-attr]
    found.span_chunk(root)
    found.after(5_000)
    assert found.asked() == []
    found.after(5_000)
    (released,) = [out.value for out in found.outs if out.topic is Topic.SPANS]
    assert isinstance(released, TraceChunk)
    found.span_chunk(released)
    found.after(2_000)
    (request,) = [out.value for out in found.outs if isinstance(out.value, ScoreRequest)]
    assert len(orjson.loads(request.subjects[0].fields)["spans"]) == 2


def test_a_condition_of_a_rule_version_that_never_was_is_refused_before_anything_is_folded() -> None:
    several = rule({"all": [FAILS, SLOW]})
    found = system(("Rule", "r", several))
    good = Score(
        project="default", score_id="1", scorer="s", scorer_version="v", subject_kind="span", subject_id=sid(2),
        trace_id=TRACE, span_id=f"{2:016x}", outcome="fail", ingested_at=10_000,
    )  # fmt: skip
    (out,) = matches([score_received(good)], found.configuration)
    condition = out.value
    assert isinstance(condition, RuleCondition)
    bad = condition.model_copy(update={"rule_version": "0"})
    batch = [Received(Topic.RULE_CONDITIONS, 0, n, 1, out.key, b"", {}, one) for n, one in enumerate((condition, bad))]
    with pytest.raises(ValueError, match="never had condition 0 of rule 'r', version 0"):
        found.conditions.read(batch)
    assert found.conditions.held(0) is None
