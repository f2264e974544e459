"""The rule fold against an oracle that remembers everything and scans all of it for every match.

The oracle is written from the rules' definition, not from the fold: a list of counted matches, a list of firings, no
cleverness. Only the two consequences of bounded memory are modelled: what had to leave raises a floor.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alert import AlertChange
from schemas.codec import Schemas, encode
from schemas.documents.base import format_duration
from schemas.documents.rule import RuleSpec
from schemas.ids import hashed
from schemas.rule import Evaluated, RuleEvent
from schemas.rule_state import RuleState, subject_hash
from streams.logic import frequency
from streams.logic.rules import Position, RuleVersion, Step, step, tick

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
LATENESS = 10 * MINUTE
START = 1_700_000_000_000
REFUSED = {"duplicate", "too late", "stale version"}
Group = tuple[str, ...]


# --- the oracle ---------------------------------------------------------------------------------------------------


@dataclass
class Oracle:
    """One rule and group, with its whole history."""

    room_at_least: int
    since: int | None = None
    counted: list[tuple[Evaluated, int]] = field(default_factory=list)
    """Every match that counted, with the time since when its conditions were in effect."""
    left: list[tuple[int, bytes]] = field(default_factory=list)
    firings: list[int] = field(default_factory=list)
    newest: AlertChange | None = None
    """The newest change of the newest alert."""
    suppressed: int = 0
    matched: int = 0
    last_match_appended: int = -1

    @property
    def is_open(self) -> bool:
        return self.newest is not None and self.newest.state != "resolved"

    def match(self, rule: RuleVersion, group: Group, match: Evaluated, at: Position) -> tuple[str, AlertChange | None]:
        if any(_identity(old) == _identity(match) for old, _ in self.counted):
            return "seen", None
        if self.since is not None and rule.window_since < self.since:
            return "stale version", None
        if self.since is None or rule.window_since > self.since:
            self.since, self.left = rule.window_since, []
        too_late_before = max((old.ingested_at for old, _ in self.counted), default=0) - rule.spec.within - LATENESS
        if match.ingested_at < too_late_before or any(_entry(match) <= gone for gone in self.left):
            return "too late", None
        remembered = sorted(_entry(old) for old in [*self._remembered(), match])
        self.left += remembered[: -max(2 * rule.spec.times, self.room_at_least)]
        if _entry(match) in self.left:
            return "too late", None
        self.counted.append((match, self.since))
        self.last_match_appended = max(self.last_match_appended, at.appended_at)
        forgotten_before = max(old.ingested_at for old, _ in self.counted) - rule.spec.within - LATENESS
        self.left += [_entry(old) for old in self._remembered() if old.ingested_at < forgotten_before]
        return self._consequence(rule, group, match, at)

    def _remembered(self) -> list[Evaluated]:
        return [old for old, since in self.counted if since == self.since and _entry(old) not in self.left]

    def _consequence(
        self, rule: RuleVersion, group: Group, match: Evaluated, at: Position
    ) -> tuple[str, AlertChange | None]:
        self.matched += self.is_open
        now, spec = match.ingested_at, rule.spec
        if any(abs(now - firing) < spec.cooldown for firing in self.firings):
            self.suppressed += 1
            return "suppressed", None
        times = [old.ingested_at for old in self._remembered()]
        subjects = max(
            sum(start <= time < start + spec.within for time in times) for start in _starts(times, now, spec)
        )
        if subjects < spec.times:
            return "counted", None
        subject = f"{match.subject_kind}:{match.subject_id}"
        firing_id = hashed(rule.project, rule.name, spec.window_version, orjson.dumps(group).decode(), subject)
        self.firings.append(now)
        change = self._renotified() if self.is_open else self._opened(firing_id, now, subjects)
        self.newest = AlertChange(
            project=rule.project,
            rule=rule.name,
            rule_version=rule.version,
            group=group,
            group_key=orjson.dumps({"agent": group[0]}).decode(),
            severity=spec.severity,
            firing_id=firing_id,
            changed_at=now,
            cooldown_until=now + spec.cooldown,
            subjects=subjects,
            matched=self.matched,
            suppressed=self.suppressed,
            cause=f"{subjects} in {format_duration(spec.within)}, {spec.times} are enough",
            evidence=self._evidence(),
            events_partition=at.partition,
            events_offset=at.offset,
            **change,
        )
        self.suppressed = 0
        return self.newest.kind, self.newest

    def _opened(self, firing_id: str, now: int, subjects: int) -> dict[str, Any]:
        self.matched = subjects
        return {"alert_id": firing_id, "change": 0, "kind": "fired", "state": "firing", "fired_at": now}

    def _renotified(self) -> dict[str, Any]:
        assert self.newest is not None
        old = self.newest
        return {
            "alert_id": old.alert_id,
            "change": old.change + 1,
            "kind": "renotified",
            "state": old.state,
            "fired_at": old.fired_at,
            "renotified": old.renotified + 1,
        }

    def _evidence(self) -> tuple[Evaluated, ...]:
        matches = [old for old, since in self.counted if since == self.since]
        return tuple(sorted(matches, key=_order)[-10:])

    def tick(self, rule: RuleVersion | None, at: Position) -> AlertChange | None:
        if not self.is_open or at.appended_at <= self.last_match_appended:
            return None
        assert self.newest is not None
        silent = at.appended_at - self.last_match_appended
        if rule is None:
            why = "the rule was deleted"
        elif not rule.spec.enabled:
            why = "the rule was disabled"
        elif silent >= rule.spec.resolve_after_ms:
            why = f"no match for {format_duration(rule.spec.resolve_after_ms)}"
        else:
            return None
        told = {
            "rule_version": rule.version if rule else self.newest.rule_version,
            "change": self.newest.change + 1,
            "kind": "resolved",
            "state": "resolved",
            "changed_at": at.appended_at,
            "matched": self.matched,
            "suppressed": self.suppressed,
            "cause": why,
            "evidence": self._evidence(),
            "events_partition": at.partition,
            "events_offset": at.offset,
        }
        self.newest = AlertChange(**{**self.newest.__dict__, **told})
        self.suppressed = 0
        return self.newest


def _starts(times: Sequence[int], now: int, spec: RuleSpec) -> Iterator[int]:
    """A half-open window that holds the most can begin at one of its subjects; it has to contain the new match."""
    return (start for start in times if start <= now < start + spec.within)


def _identity(match: Evaluated) -> tuple[str, str]:
    return match.subject_kind, match.subject_id


def _entry(match: Evaluated) -> tuple[int, bytes]:
    return match.ingested_at, subject_hash(match.subject_kind, match.subject_id)


def _order(match: Evaluated) -> tuple[int, str]:
    return match.ingested_at, match.subject_id


# --- a log of rule events, and what folds it ----------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What stands at one offset: a rule event with the version it is stamped with, or a tick (no event)."""

    at: Position
    rule: RuleVersion | None
    event: RuleEvent | None = None


States = dict[Group, RuleState]


def fold(entry: Entry, states: States) -> list[tuple[AlertChange, ...]]:
    """Folds one entry into the states as the counter does; returns the changes, a tick's by group."""
    if entry.event is not None:
        assert entry.rule is not None
        done = step(entry.rule, states.get(entry.event.group), entry.event, entry.at)
        _keep(states, entry.event.group, done)
        return [done.changes]
    changes = []
    for group in sorted(states):
        done = tick(entry.rule, states[group], entry.at)
        _keep(states, group, done)
        changes.append(done.changes)
    return changes


def _keep(states: States, group: Group, done: Step) -> None:
    assert done.state is not None
    states[group] = done.state


def told(log: Iterable[Entry], states: States) -> list[AlertChange]:
    return [change for entry in log for changes in fold(entry, states) for change in changes]


Told = dict[tuple[str, int], bytes]


def by_id(changes: Iterable[AlertChange]) -> Told:
    """The changes by identity; the same identity never has two contents."""
    found: Told = {}
    for change in changes:
        assert found.setdefault((change.alert_id, change.change), encode(change)) == encode(change)
    return found


# --- random logs --------------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Writes a log: what a matcher would write for one rule as it is edited, and the counter's own ticks."""

    now: int = START
    log: list[Entry] = field(default_factory=list)
    versions: list[tuple[int, RuleVersion | None]] = field(default_factory=list)
    subjects: dict[str, int] = field(default_factory=dict)

    def edit(self, spec: Mapping[str, Any] | None, *, conditions: bool) -> None:
        old = next((rule for _, rule in reversed(self.versions) if rule), None)
        effective_at = self.now + 2 * SECOND
        since = effective_at if conditions or old is None else old.window_since
        self.versions.append((effective_at, _version(effective_at, since, spec) if spec else None))

    def in_effect(self, time: int) -> RuleVersion | None:
        return next((rule for since, rule in reversed(self.versions) if since <= time), None)

    def matches(self, drawn: Sequence[tuple[int, int, str]]) -> None:
        """Writes matches that are `late` each; a number met before is the same subject again, with its own time."""
        records: dict[tuple[Group, RuleVersion], list[Evaluated]] = defaultdict(list)
        for number, late, group in drawn:
            subject = f"{group}{number}"
            ingested_at = self.subjects.setdefault(subject, self.now - late)
            rule = self.in_effect(ingested_at)
            if rule and rule.spec.enabled:
                evaluated = Evaluated(subject_kind="span", subject_id=subject, ingested_at=ingested_at, value=0.5)
                records[(group,), rule].append(evaluated)
        for (group_values, rule), evaluated_list in records.items():
            event = RuleEvent(
                project="p",
                rule="r",
                rule_version=rule.version,
                group=group_values,
                evaluated=tuple(evaluated_list),
            )
            self.log.append(Entry(self._position(), rule, event))

    def tick(self) -> None:
        self.log.append(Entry(self._position(), self.in_effect(self.now)))

    def _position(self) -> Position:
        return Position(3, len(self.log), self.now)


def _version(effective_at: int, since: int, knobs: Mapping[str, Any]) -> RuleVersion:
    durations = {name: format_duration(ms) for name, ms in knobs.items() if name in {"within", "cooldown"}}
    resolve = knobs["resolve_after"]
    spec = RuleSpec.model_validate(
        {
            "when": {"all": [{"scorer": f"scorer {since}", "is": "fails"}]},
            "group_by": ["agent"],
            "times": knobs["times"],
            "enabled": knobs["enabled"],
            "resolve_after": resolve if resolve is None else format_duration(resolve),
            **durations,
        }
    )
    return RuleVersion("p", "r", f"v{effective_at}", spec, since)


KNOBS = st.fixed_dictionaries(
    {
        "times": st.sampled_from([1, 2, 3, 3, 4, 5, 6]),
        "within": st.sampled_from([10 * SECOND, MINUTE, 5 * MINUTE, HOUR]),
        "cooldown": st.sampled_from([0, 1, 30 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR]),
        "resolve_after": st.sampled_from([None, 0, 1, 30 * SECOND, 10 * MINUTE]),
        "enabled": st.sampled_from([True, True, True, False]),
    }
)
ENABLED = KNOBS.map(lambda knobs: {**knobs, "enabled": True})
GAPS = st.sampled_from(
    [0, 0, 1, SECOND, 4 * SECOND, 10 * SECOND, 59 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 11 * MINUTE, 30 * MINUTE]
)
LATE = st.sampled_from(
    [0, 0, 0, 0, 1, SECOND, 10 * SECOND, MINUTE, 5 * MINUTE, LATENESS, LATENESS + MINUTE, LATENESS + 6 * MINUTE, HOUR]
)
MATCHES = st.lists(st.tuples(st.integers(0, 60), LATE, st.sampled_from(["a", "a", "a", "b"])), min_size=1, max_size=6)
HAPPENINGS = st.lists(
    st.tuples(
        GAPS,
        st.one_of(
            MATCHES,
            MATCHES,
            MATCHES,
            st.just("tick"),
            st.just("delete"),
            st.tuples(st.booleans(), KNOBS),
            st.tuples(st.just(value=False), ENABLED),
        ),
    ),
    min_size=2,
    max_size=25,
)


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    writer = Writer()
    writer.edit(draw(ENABLED), conditions=True)
    writer.now += HOUR
    for gap, what in draw(HAPPENINGS):
        writer.now += gap
        if what == "tick":
            writer.tick()
        elif what == "delete":
            writer.edit(None, conditions=True)
        elif isinstance(what, tuple):
            conditions, knobs = what
            deleted = writer.versions[-1][1] is None
            writer.edit(knobs, conditions=conditions or deleted)
        else:
            writer.matches(what)
    writer.now += 3 * HOUR
    writer.tick()
    return writer.log


# --- the tests ----------------------------------------------------------------------------------------------------

MANY = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
SOME = settings(MANY, max_examples=700)


def agrees_with_the_oracle(log: Sequence[Entry], room_at_least: int) -> None:
    oracles: dict[Group, Oracle] = {}
    states: States = {}
    out: dict[tuple[str, int], AlertChange] = {}
    for entry in log:
        expected: list[AlertChange | None]
        if entry.event is not None:
            assert entry.rule is not None
            oracle = oracles.setdefault(entry.event.group, Oracle(room_at_least))
            verdicts = [
                oracle.match(entry.rule, entry.event.group, match, entry.at)
                for match in sorted(entry.event.evaluated, key=_order)
            ]
            done = step(entry.rule, states.get(entry.event.group), entry.event, entry.at)
            _keep(states, entry.event.group, done)
            changes = done.changes
            kinds = [kind for kind, _ in verdicts]
            exact = [kind for kind in kinds if kind != "seen"]
            assert all(done.why.get(kind, 0) >= exact.count(kind) for kind in set(exact)), (done.why, kinds)
            assert sum(done.why.values()) == len(kinds)
            assert sum(done.why.get(kind, 0) for kind in REFUSED) == sum(kind in {*REFUSED, "seen"} for kind in kinds)
            expected = [change for _, change in verdicts]
        else:
            expected = [oracles[group].tick(entry.rule, entry.at) for group in sorted(oracles)]
            changes = tuple(itertools.chain.from_iterable(fold(entry, states)))
        new = [change for change in changes if (change.alert_id, change.change) not in out]
        again = [change for change in changes if (change.alert_id, change.change) in out]
        assert new == [change for change in expected if change]
        assert all(out[change.alert_id, change.change] == change for change in again)
        out |= {(change.alert_id, change.change): change for change in new}
        for group, state in states.items():
            assert state.suppressed == oracles[group].suppressed
            assert (state.open is not None) == oracles[group].is_open


@MANY
@given(logs())
def test_the_fold_decides_what_the_oracle_decides(log: list[Entry]) -> None:
    agrees_with_the_oracle(log, frequency.SUBJECTS_LEAST)


@SOME
@given(logs())
def test_the_fold_decides_what_the_oracle_decides_when_there_is_hardly_any_room(log: list[Entry]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frequency, "SUBJECTS_LEAST", 4)
        agrees_with_the_oracle(log, 4)


@MANY
@given(logs(), st.data())
def test_events_handed_over_again_change_nothing_and_tell_the_same(log: list[Entry], data: st.DataObject) -> None:
    """Changelog ahead of commits: each group's state survives from a point of its own, no alert since `rewound_to` does."""
    snapshots: list[States] = [{}]
    uninterrupted: list[AlertChange] = []
    starts = [0]
    for entry in log:
        states = dict(snapshots[-1])
        uninterrupted += told([entry], states)
        snapshots.append(states)
        starts.append(len(uninterrupted))
    crashed_at = data.draw(st.integers(1, len(log)))
    recent = [i for i in range(crashed_at) if log[i].at.appended_at >= log[crashed_at - 1].at.appended_at - HOUR]
    rewound_to = data.draw(st.sampled_from([recent[0], *recent]))
    survived = {
        group: snapshots[data.draw(st.integers(rewound_to, crashed_at))].get(group) for group in snapshots[crashed_at]
    }
    states = {group: state for group, state in survived.items() if state}
    changes = uninterrupted[: starts[rewound_to]] + told(log[rewound_to:crashed_at], states)
    if data.draw(st.booleans()):  # Faust rewinds without a crash as well: the same events, to the same states
        changes += told(log[rewound_to:crashed_at], states)
    changes += told(log[crashed_at:], states)
    assert by_id(changes) == by_id(uninterrupted)
    assert states == snapshots[-1]


@SOME
@given(logs(), st.data())
def test_however_far_the_log_is_rewound_nothing_is_decided_twice(log: list[Entry], data: st.DataObject) -> None:
    states: States = {}
    uninterrupted = by_id(told(log, states))
    final = dict(states)
    again = by_id(told(log[data.draw(st.integers(0, len(log) - 1)) :], states))
    assert again.items() <= uninterrupted.items()
    assert states == final


@SOME
@given(st.lists(st.tuples(st.sampled_from([10 * MINUTE, 40 * MINUTE, 2 * HOUR]), st.integers(0, 3)), max_size=20))
def test_no_change_is_ever_told_under_the_identity_of_another(drawn: list[tuple[int, int]]) -> None:
    """Not even when a few traces go on for hours and match again, long after they were forgotten."""
    knobs = {"times": 1, "within": MINUTE, "cooldown": 5 * MINUTE, "resolve_after": 30 * MINUTE, "enabled": True}
    rule, now = _version(START, START, knobs), START
    log: list[Entry] = []
    for gap, trace in drawn:
        now += gap
        match = Evaluated(subject_kind="trace", subject_id=str(trace), ingested_at=now)
        event = RuleEvent(project="p", rule="r", rule_version=rule.version, group=("a",), evaluated=(match,))
        log += [Entry(Position(0, len(log), now - 1), rule), Entry(Position(0, len(log) + 1, now), rule, event)]
    changes = told(log, {})
    assert len(by_id(changes)) >= len({change.firing_id for change in changes}) == len({trace for _, trace in drawn})


@SOME
@given(logs())
def test_a_record_does_what_its_subjects_do_one_by_one_in_order(log: list[Entry]) -> None:
    whole: States = {}
    single: States = {}
    for entry in log:
        if entry.event is None:
            assert fold(entry, whole) == fold(entry, single)
            continue
        ordered = sorted(entry.event.evaluated, key=_order)
        parts = [entry.event.model_copy(update={"evaluated": (match,)}) for match in ordered]
        changes = by_id(told([entry], whole))
        assert by_id(told([Entry(entry.at, entry.rule, part) for part in parts], single)) == changes
    assert {group: _unwritten(state) for group, state in whole.items()} == {
        group: _unwritten(state) for group, state in single.items()
    }


def _unwritten(state: RuleState) -> RuleState:
    return state.model_copy(update={"writes": 0})


@SOME
@given(KNOBS, st.lists(st.tuples(GAPS, st.integers(0, 40)), min_size=1, max_size=30), st.data())
def test_matches_in_order_tell_the_same_wherever_they_are_cut_into_records(
    knobs: Mapping[str, Any], drawn: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Only the offsets differ, and the append times from which silence counts."""
    rule = _version(START, START, knobs)
    times = itertools.accumulate((gap for gap, _ in drawn), initial=START)
    known: dict[int, int] = {}
    stream = sorted(
        (Evaluated(subject_kind="span", subject_id=str(n), ingested_at=known.setdefault(n, time))
        for time, (_, n) in zip(times, drawn, strict=False)),
        key=_order,
    )  # fmt: skip
    runs = []
    for _ in range(2):
        cuts = sorted(data.draw(st.sets(st.integers(1, len(stream)))) | {0, len(stream)})
        records = [tuple(stream[a:b]) for a, b in itertools.pairwise(cuts)]
        event = RuleEvent(project="p", rule="r", rule_version=rule.version, group=("a",))
        states: States = {}
        log = [
            Entry(Position(0, i, START + 9 * HOUR), rule, event.model_copy(update={"evaluated": record}))
            for i, record in enumerate(records)
        ]
        changes = by_id(change.model_copy(update={"events_offset": -1}) for change in told(log, states))
        runs.append((changes, [_unplaced(state) for state in states.values()]))
    assert runs[0] == runs[1]


def _unplaced(state: RuleState) -> RuleState:
    outbox = tuple(
        sent.model_copy(update={"change": sent.change.model_copy(update={"events_offset": -1})})
        for sent in state.outbox
    )
    return state.model_copy(update={"writes": 0, "outbox": outbox})


@SOME
@given(logs())
def test_a_state_survives_the_changelog_and_is_never_mutated(log: list[Entry]) -> None:
    kept: States = {}
    stored: dict[Group, bytes] = {}
    for entry in log:
        restored = {group: Schemas().decode(RuleState, data) for group, data in stored.items()}
        assert restored == kept
        before = {group: encode(state) for group, state in kept.items()}
        given_states = dict(kept)
        assert fold(entry, restored) == fold(entry, kept)
        assert {group: encode(state) for group, state in given_states.items()} == before
        stored = {group: encode(state) for group, state in kept.items()}


@settings(SOME, max_examples=100)
@given(logs())
def test_projects_and_rules_share_no_id(log: list[Entry]) -> None:
    def elsewhere(entry: Entry, project: str, name: str) -> Entry:
        rule = entry.rule and RuleVersion(project, name, entry.rule.version, entry.rule.spec, entry.rule.window_since)
        event = entry.event and entry.event.model_copy(update={"project": project, "rule": name})
        return Entry(entry.at, rule, event)

    ours = told(log, {})
    for project, name in (("q", "r"), ("p", "s"), ("pr", ""), ("", "pr")):
        theirs = told([elsewhere(entry, project, name) for entry in log], {})
        assert [change.kind for change in theirs] == [change.kind for change in ours]
        assert not {change.alert_id for change in ours} & {change.alert_id for change in theirs}
        assert not {change.firing_id for change in ours} & {change.firing_id for change in theirs}
