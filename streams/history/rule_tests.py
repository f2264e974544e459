"""Tests of rules, as code beside the rules: events with their times, and what the rule is expected to tell. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import orjson
from pydantic import Field, model_validator

from schemas.alert import AlertChange, ChangeKind
from schemas.documents.base import Duration, Name, Strict, format_duration
from schemas.documents.rule import RuleSpec
from schemas.rule import Evaluated
from schemas.score import Outcome, Score
from schemas.subject import Subject, SubjectKind
from streams.history.backtest import TICK_MS, Backtest, Group
from streams.logic.conditions import Observed, group_of, matches
from streams.logic.rules import RuleVersion

BEGIN_MS = 1_700_000_000_000
"""When every test begins; a multiple of nothing, so that nobody relies on it."""


class Event(Strict):
    """A score or a span that comes in, once or several times."""

    at: Duration
    scorer: Name | None = None
    outcome: Outcome = "fail"
    value: float | None = None
    subject: str = ""
    subject_kind: SubjectKind = "example"
    trace: str = ""
    span: str = ""
    kind: str = ""
    duration_ms: float | None = None
    cost_usd: float | None = None
    tokens: float | None = None
    error: bool = False
    attributes: dict[str, str] = Field(default={})
    tags: tuple[str, ...] = ()
    agent: str = ""
    agent_version: str = ""
    customer: str = ""
    session: str = ""
    environment: str = ""
    times: int = Field(default=1, ge=1, le=100_000)
    every: Duration = 1000

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.scorer is None and not self.span:
            raise ValueError("an event names a `scorer` (a score comes in) or a `span` (a span ends)")
        return self


class Expected(Strict):
    """An alert change that the rule tells; what is left out is not compared."""

    at: Duration
    alert: ChangeKind
    group: dict[str, str] | None = None
    subjects: int | None = None
    suppressed: int | None = None
    severity: str | None = None


class RuleTest(Strict):
    """Events, and all that the rule tells about them until a time."""

    name: str
    rule: Name
    events: tuple[Event, ...]
    until: Duration | None = Field(
        default=None, description="default: the last event or expectation, whichever is later"
    )
    expect: tuple[Expected, ...] = ()


class RuleTests(Strict):
    """A file of tests."""

    rules: tuple[str, ...] = Field(description="files with the rules, relative to this one")
    tests: tuple[RuleTest, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Outcomes:
    """How a test ended: nothing in `problems` when it passed."""

    test: str
    problems: tuple[str, ...]


def run(test: RuleTest, spec: RuleSpec) -> Outcomes:
    """Plays a test by the live functions and compares what the rule tells with what is expected."""
    play = Backtest(RuleVersion("test", test.rule, "0" * 16, spec), since=0)
    for group, evaluated in _evaluated(test.events, spec):
        play.fold(group, [evaluated])
    play.finish(BEGIN_MS + _until(test) + TICK_MS)
    told = sorted(play.changes, key=lambda change: (change.changed_at, change.change))
    return Outcomes(test.name, tuple(_compared(list(test.expect), told)))


def _until(test: RuleTest) -> int:
    ends = [event.at + (event.times - 1) * event.every for event in test.events]
    return max([*ends, *(one.at for one in test.expect)]) if test.until is None else test.until


def _evaluated(events: Sequence[Event], spec: RuleSpec) -> Iterator[tuple[Group, Evaluated]]:
    coming = [
        (event.at + n * event.every, number, n) for number, event in enumerate(events) for n in range(event.times)
    ]
    for at, number, n in sorted(coming):
        event = events[number]
        observed = _observed(event, event.subject or f"event-{number}-{n}", BEGIN_MS + at)
        if matches(spec, observed):
            yield group_of(spec, observed), _match(spec, observed, BEGIN_MS + at)


def _match(spec: RuleSpec, observed: Observed, at: int) -> Evaluated:
    of_trace = spec.per == "trace" and observed.trace_id
    kind = observed.subject_kind if isinstance(observed, Score) else observed.kind
    identity = observed.trace_id if of_trace else observed.subject_id
    return Evaluated(subject_kind="trace" if of_trace else kind, subject_id=identity, ingested_at=at)


def _observed(event: Event, subject: str, at: int) -> Observed:
    context = {
        "project": "test", "subject_id": subject, "trace_id": event.trace, "agent": event.agent,
        "agent_version": event.agent_version, "customer_id": event.customer, "session_id": event.session,
        "environment": event.environment, "tags": event.tags, "attributes": event.attributes,
        "span_name": event.span, "span_kind": event.kind,
    }  # fmt: skip
    if event.scorer is None:
        return Subject.model_validate({**context, "kind": "span", "numbers": _numbers(event)})
    verdict = {
        "scorer": event.scorer, "scorer_version": "test", "score_id": subject, "subject_kind": event.subject_kind,
        "outcome": event.outcome, "value": event.value, "ingested_at": at,
    }  # fmt: skip
    return Score.model_validate({**context, **verdict})


def _numbers(event: Event) -> dict[str, float]:
    given = {"duration_ms": event.duration_ms, "cost_usd": event.cost_usd, "tokens": event.tokens}
    return {"error": float(event.error), **{name: number for name, number in given.items() if number is not None}}


def _compared(expected: list[Expected], told: list[AlertChange]) -> Iterator[str]:
    for change in told:
        wanted = next((one for one in expected if _is(one, change)), None)
        if wanted is None:
            yield f"not expected: {_told(change)}"
        else:
            expected.remove(wanted)
    yield from (f"not told: {_wanted(one)}" for one in expected)


def _is(wanted: Expected, change: AlertChange) -> bool:
    """Whether a change is the expected one; what a tick causes may come a tick later."""
    later = change.changed_at - BEGIN_MS - wanted.at
    compared = {name: getattr(wanted, name) for name in ("subjects", "suppressed", "severity")}
    same = all(value is None or getattr(change, name) == value for name, value in compared.items())
    group = wanted.group is None or wanted.group == orjson.loads(change.group_key)
    return (
        same and group and wanted.alert == change.kind and 0 <= later <= (TICK_MS if change.kind == "resolved" else 0)
    )


def _told(change: AlertChange) -> str:
    at = format_duration(change.changed_at - BEGIN_MS)
    return (
        f"{change.kind} at {at}, group {change.group_key}, {change.subjects} subjects, {change.suppressed} suppressed"
    )


def _wanted(one: Expected) -> str:
    fields = one.model_dump(exclude_none=True, exclude={"at", "alert"})
    told = "".join(f", {name} {value}" for name, value in fields.items())
    return f"{one.alert} at {format_duration(one.at)}{told}"
