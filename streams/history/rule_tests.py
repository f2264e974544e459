"""Tests of rules, as code beside the rules: events with their times, and what the rule is expected to tell. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import orjson
from pydantic import Field, model_validator

from schemas.alert import AlertChange, ChangeKind
from schemas.documents.base import Duration, Name, Strict, format_duration
from schemas.documents.rule import RuleSpec
from schemas.rule import Command, CommandAction
from schemas.score import Outcome, Score
from schemas.subject import Subject, SubjectKind
from streams.history.backtest import TICK_MS, Backtest
from streams.logic.collect import Collect
from streams.logic.conditions import Observed
from streams.logic.matching import Match, condition_of, matched
from streams.logic.rules import RuleVersion

FOR_EVER_MS = 1 << 50
BEGIN_MS = 1_700_000_000_000
"""When every test begins; a multiple of nothing, so that nobody relies on it."""


class Event(Strict):
    """A score or a span that comes in, once or several times; or what a person tells the alert of a group."""

    at: Duration
    command: CommandAction | None = None
    group: dict[str, str] = Field(default={})
    for_: Duration = Field(default=3_600_000, alias="for", description="of a snooze")
    scorer: Name | None = None
    outcome: Outcome = "fail"
    value: float | None = None
    label: str = ""
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
        if sum((self.scorer is not None, bool(self.span), self.command is not None)) != 1:
            raise ValueError("an event has either a `scorer` (a score comes in), a `span` (it ends) or a `command`")
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
    rule = RuleVersion("test", test.rule, "0" * 16, spec, effective_at=BEGIN_MS)
    play, collect = Backtest(rule, since=0), Collect(kept_ms=FOR_EVER_MS)
    for at, number, event in _coming(test.events):
        if event.command is not None:
            group = tuple(event.group.get(name, "") for name in spec.group_by)
            play.command(group, _command(event, event.command, at, number), at)
            continue
        observed = _observed(event, event.subject or f"event-{number}", at)
        for match in _matches(rule, observed, at, collect):
            play.fold(match.group, [match.evaluated])
    play.finish(BEGIN_MS + _until(test) + TICK_MS)
    told = sorted(play.changes, key=lambda change: (change.changed_at, change.change))
    return Outcomes(test.name, tuple(_compared(list(test.expect), told, _ticked(spec))))


def _until(test: RuleTest) -> int:
    ends = [event.at + (event.times - 1) * event.every for event in test.events]
    return max([*ends, *(one.at for one in test.expect)]) if test.until is None else test.until


def _coming(events: Sequence[Event]) -> Iterator[tuple[int, str, Event]]:
    """Every event as often as it comes, in the order of time, with a number of its own."""
    coming = [
        (BEGIN_MS + event.at + n * event.every, number, n)
        for number, event in enumerate(events)
        for n in range(event.times)
    ]
    for at, number, n in sorted(coming):
        yield at, f"{number}-{n}", events[number]


def _matches(rule: RuleVersion, observed: Observed, at: int, collect: Collect) -> Iterator[Match]:
    """What the matcher, and for several conditions that have to come together `complete`, makes of a subject."""
    for match in matched([rule], observed, at, "", settled=True)[0]:
        if not rule.spec.when.is_gathered:
            yield match
        elif gathered := collect.take(condition_of(match), rule, lambda _: rule, at, 0):
            yield gathered


def _command(event: Event, action: CommandAction, at: int, number: str) -> Command:
    until = at + event.for_ if action == "snooze" else 0
    return Command(command_id=number, action=action, alert_id="", by="test", until=until)


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
        "outcome": event.outcome, "value": event.value, "label": event.label, "ingested_at": at,
    }  # fmt: skip
    return Score.model_validate({**context, **verdict})


def _numbers(event: Event) -> dict[str, float]:
    given = {"duration_ms": event.duration_ms, "cost_usd": event.cost_usd, "tokens": event.tokens}
    return {"error": float(event.error), **{name: number for name, number in given.items() if number is not None}}


def _ticked(spec: RuleSpec) -> tuple[ChangeKind, ...]:
    """What a tick may cause: it is told up to 5 s later than its time."""
    return ("resolved", "fired") if spec.no_traffic else ("resolved",)


def _compared(expected: list[Expected], told: list[AlertChange], ticked: Sequence[ChangeKind]) -> Iterator[str]:
    for change in told:
        late = TICK_MS if change.kind in ticked else 1
        wanted = next((one for one in expected if _is(one, change, late)), None)
        if wanted is None:
            yield f"not expected: {_told(change)}"
        else:
            expected.remove(wanted)
    yield from (f"not told: {_wanted(one)}" for one in expected)


def _is(wanted: Expected, change: AlertChange, late: int) -> bool:
    """Whether a change is the expected one, told less than `late` milliseconds after its time."""
    compared = {name: getattr(wanted, name) for name in ("subjects", "suppressed", "severity")}
    same = all(value is None or getattr(change, name) == value for name, value in compared.items())
    group = wanted.group is None or wanted.group == orjson.loads(change.group_key)
    return same and group and wanted.alert == change.kind and 0 <= change.changed_at - BEGIN_MS - wanted.at < late


def _told(change: AlertChange) -> str:
    at = format_duration(change.changed_at - BEGIN_MS)
    return (
        f"{change.kind} at {at}, group {change.group_key}, {change.subjects} subjects, {change.suppressed} suppressed"
    )


def _wanted(one: Expected) -> str:
    fields = one.model_dump(exclude_none=True, exclude={"at", "alert"})
    told = "".join(f", {name} {value}" for name, value in fields.items())
    return f"{one.alert} at {format_duration(one.at)}{told}"
