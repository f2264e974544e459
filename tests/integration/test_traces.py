"""Whole traces, context from ancestors and conditions of one trace, through the jobs as processes on a real Kafka, some of them killed."""

import time
from collections.abc import Callable, Iterable

import pytest

from schemas.ids import record_key
from schemas.rule import RuleCondition, RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from tests.support.jobs import Installation, Job

pytestmark = pytest.mark.integration

TRACES = ("a1" * 16, "b2" * 16)
"""Two agents work on each; they fail at each in the first only."""


def span(number: int, parent: int | None, **further: object) -> Span:
    above = "" if parent is None else f"{parent:016x}"
    return Span.model_validate({"span_id": f"{number:016x}", "parent_span_id": above, "duration_us": 1_000, **further})


def put(installation: Installation, trace: str, *spans: Span) -> None:
    chunk = TraceChunk(
        project="default",
        trace_id=trace,
        ingested_at=time.time_ns() // 1_000_000,
        resources=({"service.name": "shop"},),
        spans=spans,
    )
    installation.put(Topic.SPANS, record_key("default", trace), chunk)


def configure(installation: Installation) -> None:
    installation.configure(
        "Scorer",
        "Answers",
        {
            "type": "not-empty",
            "threshold": 1,
            "online": [{"target": "span", "filter": {"kind": "llm", "environment": "production"}}],
        },
    )
    installation.configure(
        "Scorer",
        "Whole",
        {"type": "not-empty", "with": {"field": "spans"}, "threshold": 1, "online": [{"target": "trace"}]},
    )
    fails, slow = {"scorer": "Answers", "is": "fails"}, {"metric": "duration_ms", "op": ">", "value": 100}
    installation.configure("Rule", "Slow and wrong", {"when": {"all": [fails, slow]}, "group_by": ["session", "agent"]})
    installation.configure(
        "Rule", "Wrong", {"when": {"any": [fails]}, "filter": {"environment": "production"}, "group_by": ["session"]}
    )
    installation.in_effect()


def events(installation: Installation) -> list[tuple[str, tuple[str, ...], str]]:
    found = installation.records(Topic.RULE_EVENTS, RuleEvent)
    return sorted((event.rule, event.group, one.subject_id) for event in found for one in event.evaluated)


def whole(installation: Installation) -> list[Score]:
    return [score for score in installation.records(Topic.SCORES, Score) if score.subject_kind == "trace"]


def begin(installation: Installation, traces: Iterable[str]) -> None:
    """What is known before the root ends: two agents' calls; only the root will tell session and environment."""
    for trace in traces:
        wrong = trace == TRACES[0]
        put(installation, trace, span(3, 2, kind="llm", output="" if wrong else "yes"))
        put(
            installation,
            trace,
            span(5, 4, kind="tool", duration_us=200_000 if wrong else 1),
            span(4, 1, kind="agent", agent="porter"),
        )
        put(installation, trace, span(2, 1, kind="agent", agent="clerk"))
    installation.flush()


def waits_for(installation: Installation, job: Job, what: str, number: int) -> Callable[[], bool]:
    def remembered() -> bool:
        lines = [line for line in job.get("/metrics").splitlines() if f'what="{what}"' in line]
        return sum(float(line.rpartition(" ")[2]) for line in lines) == number

    return remembered


def test_what_comes_together_by_trace_is_judged_and_told_once_though_jobs_are_killed(
    installation: Installation,
) -> None:
    configure(installation)
    _, _, match, complete = installation.start("sample", "score", "match", "complete")
    begin(installation, TRACES)
    installation.until(waits_for(installation, complete, "traces", len(TRACES)))
    complete.kill()
    match.kill()
    assert (events(installation), installation.records(Topic.SCORES, Score)) == ([], [])

    installation.start("complete", "match")
    for trace in TRACES:
        put(
            installation,
            trace,
            span(1, None, kind="chain", session_id=f"s-{trace[:2]}", environment="production", input="q"),
        )
    installation.flush()
    installation.until(lambda: len(events(installation)) == 2 and len(whole(installation)) == 2)

    assert events(installation) == [
        ("Slow and wrong", ("s-a1", "clerk"), TRACES[0]),
        ("Wrong", ("s-a1",), f"{TRACES[0]}:{3:016x}"),
    ]
    scores = whole(installation)
    assert {(s.subject_id, s.outcome, s.attempt, s.session_id, s.environment) for s in scores} == {
        (trace, "pass", 0, f"s-{trace[:2]}", "production") for trace in TRACES
    }
    conditions = installation.records(Topic.RULE_CONDITIONS, RuleCondition)
    assert {one.condition for one in conditions} == {0, 1}
    late = span(6, 4, kind="llm", output="more")
    put(installation, TRACES[1], late)
    installation.flush()
    installation.until(lambda: [s.attempt for s in whole(installation) if s.subject_id == TRACES[1]] == [0, 1])
    (first, second) = [s for s in whole(installation) if s.subject_id == TRACES[1]]
    assert (first.score_id, first.ingested_at) == (second.score_id, second.ingested_at)
