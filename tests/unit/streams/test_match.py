"""The matcher: scores and spans in, whole rule events out."""

import pytest

from schemas.codec import Undecodable
from schemas.contents import SpanContents
from schemas.documents.rule import RuleSpec
from schemas.example import Example
from schemas.ids import record_key
from schemas.rule import Evaluated, RuleCondition, RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from streams.logic.configuration import Configuration
from streams.match import matches
from streams.records import Out, Received
from tests.support.records import (
    chunk_received,
    configured,
    entered,
    entry,
    example_received,
    score_received,
    version_of,
)

TRACE = "ab" * 16
FAILS = {"scorer": "s", "is": "fails"}


def rule(*conditions: dict[str, object], **further: object) -> RuleSpec:
    return RuleSpec.model_validate({"when": {"any": conditions or (FAILS,)}, **further})


def score(name: str = "x", **further: object) -> Score:
    given = {
        "project": "default", "score_id": f"score of {name}", "scorer": "s", "scorer_version": "1",
        "subject_kind": "span", "subject_id": f"{TRACE}:{name}", "trace_id": TRACE, "span_id": name, "outcome": "fail",
        "value": 0.0, "reason": f"{name} is bad", "ingested_at": 9000, "agent": "clerk",
    }  # fmt: skip
    return Score.model_validate({**given, **further})


def chunk(*spans: Span, **further: object) -> TraceChunk:
    return TraceChunk.model_validate(
        {"project": "default", "trace_id": TRACE, "ingested_at": 8000, "spans": spans, **further}
    )


def events(configuration: Configuration, *batch: Received) -> list[RuleEvent]:
    return [out.value for out in matches(batch, configuration) if isinstance(out.value, RuleEvent)]


def matched(configuration: Configuration, *batch: Received) -> dict[str, list[str]]:
    """Subjects by rule."""
    found: dict[str, list[str]] = {}
    for event in events(configuration, *batch):
        found.setdefault(event.rule, []).extend(evaluated.subject_id for evaluated in event.evaluated)
    return found


def test_the_matches_of_a_batch_become_one_event_for_each_rule_and_group() -> None:
    by_agent = rule(group_by=["agent", "attribute:region"])
    configuration = configured(("Rule", "r", by_agent))
    batch = [
        score_received(score("a")),
        score_received(score("b", agent="porter", attributes={"region": "north"})),
        score_received(score("c", ingested_at=9500, value=0.25, reason="x" * 400)),
        score_received(score("d", outcome="pass")),
    ]

    def evaluated(name: str, **further: object) -> Evaluated:
        given = {
            "subject_kind": "span", "subject_id": f"{TRACE}:{name}", "ingested_at": 9000, "value": 0.0,
            "reason": f"{name} is bad", "trace_id": TRACE, "span_id": name,
        }  # fmt: skip
        return Evaluated.model_validate({**given, **further})

    assert matches(batch, configuration) == [
        Out(
            Topic.RULE_EVENTS,
            record_key("default", "r", ["clerk", ""]),
            RuleEvent(
                project="default",
                rule="r",
                rule_version=version_of(by_agent),
                group=("clerk", ""),
                group_key='{"agent":"clerk","attribute:region":""}',
                evaluated=(evaluated("a"), evaluated("c", ingested_at=9500, value=0.25, reason="x" * 300)),
            ),
        ),
        Out(
            Topic.RULE_EVENTS,
            record_key("default", "r", ["porter", "north"]),
            RuleEvent(
                project="default",
                rule="r",
                rule_version=version_of(by_agent),
                group=("porter", "north"),
                group_key='{"agent":"porter","attribute:region":"north"}',
                evaluated=(evaluated("b"),),
            ),
        ),
    ]


def test_a_score_meets_only_the_rules_that_name_its_scorer() -> None:
    configuration = configured(
        ("Rule", "mine", rule()),
        ("Rule", "another's", rule({"scorer": "t", "is": "fails"})),
        ("Rule", "either", rule({"scorer": "t", "is": "fails"}, FAILS)),
        ("Rule", "of spans", rule({"metric": "duration_ms", "op": ">=", "value": 0})),
        ("Rule", "off", rule(enabled=False)),
        ("Rule", "elsewhere", rule(filter={"environment": "staging"})),
    )
    assert set(matched(configuration, score_received(score()))) == {"mine", "either"}


@pytest.mark.parametrize("aside", [{"origin": "experiment"}, {"origin": "replay", "run_id": "r1"}, {"attempt": 1}])
def test_experiments_replays_and_amendments_never_move_a_rule(aside: dict[str, object]) -> None:
    configuration = configured(("Rule", "r", rule()))
    assert matches([score_received(score(**aside))], configuration) == []  # type: ignore[arg-type]
    assert matched(configuration, score_received(score())) == {"r": [f"{TRACE}:x"]}


@pytest.mark.parametrize("origin", ["experiment", "replay"])
def test_spans_of_experiments_and_replays_never_move_a_rule(origin: str) -> None:
    configuration = configured(("Rule", "r", rule({"metric": "duration_ms", "op": ">=", "value": 0})))
    assert matches([chunk_received(chunk(Span(span_id="1" * 16), origin=origin))], configuration) == []
    assert len(matches([chunk_received(chunk(Span(span_id="1" * 16)))], configuration)) == 1


def test_errors_and_skipped_subjects_are_never_failures() -> None:
    configuration = configured(
        ("Rule", "fails", rule()),
        ("Rule", "errors", rule({"scorer": "s", "is": "errors"})),
        ("Rule", "succeeds", rule({"scorer": "s", "is": "succeeds"})),
        ("Rule", "low", rule({"scorer": "s", "op": "<", "value": 0.5})),
    )
    outcomes = {"pass": 1.0, "fail": 0.0, "scored": 0.4, "error": None, "skipped": None}
    found = {
        outcome: set(matched(configuration, score_received(score(outcome=outcome, value=value))))
        for outcome, value in outcomes.items()
    }
    assert found == {
        "pass": {"succeeds"}, "fail": {"fails", "low"}, "scored": {"low"}, "error": {"errors"}, "skipped": set(),
    }  # fmt: skip


def test_spans_match_by_their_own_numbers_attributes_and_tags_and_partial_ones_never() -> None:
    configuration = configured(
        ("Rule", "slow", rule({"metric": "duration_ms", "op": ">", "value": 100})),
        ("Rule", "gold", rule({"attribute": "tier", "op": "==", "value": "gold"})),
        ("Rule", "tagged", rule({"tag": "vip"})),
        ("Rule", "of scores", rule()),
    )
    slow = Span(span_id="1" * 16, duration_us=100_001, name="slow")
    gold = Span(span_id="2" * 16, duration_us=100_000, attrs={"tier": "gold"}, tags=("vip",), status_message="broken")
    partial = slow.model_copy(update={"span_id": "3" * 16, "partial": True, "tags": ("vip",)})
    found = events(configuration, chunk_received(chunk(slow, gold, partial)))
    told = {e.rule: [(x.span_id, x.reason, x.value, x.ingested_at) for x in e.evaluated] for e in found}
    assert told == {
        "slow": [("1" * 16, "slow", None, 8000)],
        "gold": [("2" * 16, "broken", None, 8000)],
        "tagged": [("2" * 16, "broken", None, 8000)],
    }


def test_a_rule_per_trace_counts_traces_and_what_has_no_trace_as_itself() -> None:
    configuration = configured(("Rule", "r", rule(per="trace")))
    alone = score("e", subject_kind="example", subject_id="e", trace_id="", span_id="")
    (event,) = events(configuration, score_received(score("a")), score_received(score("b")), score_received(alone))
    assert [(x.subject_kind, x.subject_id, x.span_id) for x in event.evaluated] == [
        ("trace", TRACE, "a"), ("trace", TRACE, "b"), ("example", "e", ""),
    ]  # fmt: skip


def test_an_event_carries_at_most_two_hundred_subjects_in_the_order_they_came() -> None:
    names = [f"{number:016x}" for number in range(450)]
    found = events(configured(("Rule", "r", rule())), *(score_received(score(name)) for name in names))
    assert [len(event.evaluated) for event in found] == [200, 200, 50]
    assert [x.span_id for event in found for x in event.evaluated] == names
    assert len({(event.rule_version, event.group, event.group_key) for event in found}) == 1


def test_two_projects_with_the_same_names_have_nothing_to_do_with_each_other() -> None:
    entries = [(entry("Rule", "r", rule(times=times), project), 0) for project, times in (("acme", 1), ("globex", 2))]
    batch = [score_received(score(project=project)) for project in ("acme", "globex", "initech")]  # type: ignore[misc]
    found = {(out.key, getattr(out.value, "project", "")) for out in matches(batch, entered(entries))}
    assert found == {(record_key(project, "r", []), project) for project in ("acme", "globex")}


def test_a_score_meets_the_version_in_effect_at_its_subjects_ingest_time() -> None:
    old, new = rule(times=1), rule(times=2)
    configuration = entered([(entry("Rule", "r", old), 0), (entry("Rule", "r", new), 6000)])
    late, early = score_received(score("late", ingested_at=8000)), score_received(score("early", ingested_at=7999))
    found = {event.rule_version: event.evaluated[0].span_id for event in events(configuration, late, early)}
    assert found == {version_of(new): "late", version_of(old): "early"}


def test_what_is_neither_score_nor_chunk_is_refused() -> None:
    with pytest.raises(Undecodable, match="expected a Score, found Example"):
        matches([example_received(Example(project="p", example_id="e", fields=b"{}"))], configured())


def test_a_verdict_that_came_late_says_so_in_the_alert() -> None:
    configuration = configured(("Rule", "r", rule()))
    (event,) = events(configuration, score_received(score(late=True)))
    assert [one.reason for one in event.evaluated] == ["judged late: x is bad"]


def test_conditions_that_have_to_come_together_are_told_one_by_one_by_trace() -> None:
    several = RuleSpec.model_validate(
        {
            "when": {
                "all": [FAILS, {"metric": "tokens", "op": ">", "value": 5}, {"scorer": "s", "op": "<", "value": 1}]
            },
            "filter": {"agent": "clerk"},
            "group_by": ["attribute:region"],
        }
    )
    configuration = configured(("Rule", "r", several))
    span = Span(span_id="1" * 16, agent="clerk", input_tokens=9, attrs={"region": "north"})
    others = span.model_copy(update={"agent": "porter"})
    outs = matches([score_received(score()), chunk_received(chunk(span, others))], configuration)
    assert {out.key for out in outs} == {record_key("default", TRACE)}
    told = [out.value for out in outs if isinstance(out.value, RuleCondition)]
    assert [(one.condition, one.group, one.evaluated.span_id, one.rule_version) for one in told] == [
        (0, ("",), "x", version_of(several)), (2, ("",), "x", version_of(several)),
        (1, ("north",), "1" * 16, version_of(several)),
    ]  # fmt: skip
    assert len(told) == len(outs)


def test_an_example_without_a_trace_gathers_conditions_for_itself() -> None:
    several = RuleSpec.model_validate({"when": {"all": [FAILS, {"scorer": "t", "is": "fails"}]}})
    alone = score("e", subject_kind="example", subject_id="e", trace_id="", span_id="")
    (out,) = matches([score_received(alone)], configured(("Rule", "r", several)))
    assert out.key == record_key("default", "e")


def test_a_score_whose_span_lacks_what_a_rule_asks_for_waits_and_the_other_rules_do_not() -> None:
    configuration = configured(
        ("Rule", "by session", rule(group_by=["session"])),
        ("Rule", "in production", rule(filter={"environment": "production", "agent": "clerk"})),
        ("Rule", "of the porter", rule(filter={"environment": "production", "agent": "porter"})),
        ("Rule", "any", rule()),
    )
    known = score("known", session_id="s-1", environment="production")
    lacks = score("lacks")
    outs = matches([score_received(known), score_received(lacks)], configuration)
    waiting = [out for out in outs if out.topic is Topic.SPAN_CONTENTS]
    contents = SpanContents(project="default", trace_id=TRACE, scores=(lacks,))
    assert waiting == [Out(Topic.SPAN_CONTENTS, record_key("default", TRACE), contents)]
    assert matched(configuration, score_received(known), score_received(lacks)) == {
        "by session": [f"{TRACE}:known"], "in production": [f"{TRACE}:known"], "any": [f"{TRACE}:known", f"{TRACE}:lacks"],
    }  # fmt: skip


def test_a_span_that_lacks_what_a_rule_asks_for_is_left_to_the_sampler_unless_it_is_the_root() -> None:
    configuration = configured(
        ("Rule", "r", rule({"metric": "duration_ms", "op": ">=", "value": 0}, group_by=["session"]))
    )
    root, child = Span(span_id="1" * 16), Span(span_id="2" * 16, parent_span_id="1" * 16)
    assert matched(configuration, chunk_received(chunk(root, child))) == {"r": [f"{TRACE}:{'1' * 16}"]}


def test_only_a_rule_that_needs_them_is_told_of_subjects_that_did_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = rule(FAILS, {"metric": "tokens", "op": ">", "value": 5}, filter={"agent": "clerk"})
    quiet = Span(span_id="1" * 16, agent="clerk", input_tokens=1)
    batch = [
        *(
            score_received(score(outcome, outcome=outcome))
            for outcome in ("fail", "pass", "scored", "error", "skipped")
        ),
        score_received(score("t", scorer="t")),
        score_received(score("porter", agent="porter")),
        chunk_received(chunk(quiet, Span(span_id="2" * 16, agent="clerk"))),
    ]

    def told() -> list[tuple[str, bool]]:
        found = events(configured(("Rule", "r", spec)), *batch)
        return [(one.span_id, one.matched) for event in found for one in event.evaluated]

    assert told() == [("fail", True)]
    monkeypatch.setattr(RuleSpec, "needs_unmatched", True)
    assert told() == [("fail", True), ("pass", False), ("scored", False), ("1" * 16, False)]
