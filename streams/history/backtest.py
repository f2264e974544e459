"""When a rule would have fired: the live fold over what is stored, in the order of (ingest time, subject id)."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import Firing, RuleState
from streams.logic.matching import event_of
from streams.logic.rules import Position, RuleVersion, Step, step, tick
from streams.logic.silence import due_at, quiet
from streams.ticks import TICK_S

Group = tuple[str, ...]
TICK_MS = round(TICK_S * 1000)


@dataclass
class Backtest:
    """Folds blocks of evaluated subjects and collects what the rule would have told from `since` on.

    What came before `since` fills the windows, and nothing of it is told. `firings` are the last ones before it by group: their cooldown
    still holds. The live job tells the time by a tick every 5 s; here the ticks that move nothing are left out.
    """

    rule: RuleVersion
    since: int
    firings: Mapping[Group, int] = field(default_factory=dict)
    changes: list[AlertChange] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)
    evaluated: int = 0
    _states: dict[Group, RuleState | None] = field(default_factory=dict)
    _early: dict[Group, RuleState | None] = field(default_factory=dict)
    """What was folded of the time before `since`, by groups that were not met again yet."""

    def __post_init__(self) -> None:
        if self.rule.spec.no_traffic and not self.rule.spec.group_by:
            self._states[()] = RuleState()  # it may fire before it has seen any subject

    def take(self, columns: Sequence[Sequence[Any]]) -> None:
        """Folds one block: ingest times, kinds, ids, whether they matched, and a column for each group_by."""
        times, kinds, ids, matched, *groups = columns
        by_group: dict[Group, list[Evaluated]] = defaultdict(list)
        for at, kind, identity, did, *values in zip(times, kinds, ids, matched, *groups, strict=True):
            by_group[tuple(values)].append(_evaluated(at, kind, identity, matched=bool(did)))
        for group, subjects in by_group.items():
            self.fold(group, subjects)

    def fold(self, group: Group, subjects: Sequence[Evaluated]) -> None:
        """Folds subjects of one group, in the order of (ingest time, subject id)."""
        self.evaluated += len(subjects)
        early = [one for one in subjects if one.ingested_at < self.since]
        if early:
            self._early[group] = self._step(group, self._early.get(group), early).state
        for run in _runs(self.rule.spec, subjects[len(early) :]):
            self.pass_time(group, run[0].ingested_at)
            self._keep(group, self._step(group, self._states[group], run))

    def command(self, group: Group, command: Command, at: int) -> None:
        """Folds what a person tells the alert of a group; an empty `alert_id` means the one that is open."""
        self.pass_time(group, at)
        state = self._states[group]
        if state and state.open and not command.alert_id:
            command = command.model_copy(update={"alert_id": state.open.alert_id})
        event = event_of(self.rule, group, ()).model_copy(update={"command": command})
        self._keep(group, step(self.rule, state, event, Position(-1, -1, at)))

    def pass_time(self, group: Group, now: int) -> None:
        """Folds the ticks before `now` that move something."""
        if group not in self._states:
            self._states[group] = self._seeded(group)
        while (state := self._states[group]) is not None:
            due = max(due_at(self.rule, quiet(state)), state.matched_at + 1, state.ticked_at + 1)
            at = due + -due % TICK_MS
            if at >= now:
                return
            self._keep(group, tick(self.rule, state, Position(-1, -1, at)))

    def finish(self, until: int) -> None:
        """Ends what would have ended by silence before `until`, and tells what would have been told for want of traffic."""
        for group in {**self._states, **self._early}:
            self.pass_time(group, until)

    def _seeded(self, group: Group) -> RuleState | None:
        """The windows as they stood at `since`, without what was told of them before, but for the last firing."""
        state, fired = self._early.pop(group, None), self.firings.get(group)
        if state is None and fired is None:
            return None
        firings = () if fired is None else (Firing(at=fired, firing_id=""),)
        empty = {"open": None, "suppressed": 0, "firings": firings, "outbox": ()}
        return (state or RuleState(window_since=self.rule.window_since)).model_copy(update=empty)

    def _step(self, group: Group, state: RuleState | None, run: Sequence[Evaluated]) -> Step:
        return step(self.rule, state, _event(self.rule, group, run), Position(-1, -1, run[-1].ingested_at))

    def _keep(self, group: Group, done: Step) -> None:
        self._states[group] = done.state
        self.changes += done.changes
        self.why.update(done.why)


def _event(rule: RuleVersion, group: Group, run: Sequence[Evaluated]) -> RuleEvent:
    """An event with any number of subjects, all of them ours and none to be checked again."""
    return RuleEvent.trusted({**event_of(rule, group, ()).__dict__, "evaluated": run})


def _evaluated(at: int, kind: str, identity: str, *, matched: bool) -> Evaluated:
    return Evaluated.trusted(
        {
            "subject_kind": kind,
            "subject_id": identity,
            "ingested_at": at,
            "matched": matched,
            "value": None,
            "reason": "",
            "trace_id": "",
            "span_id": "",
        }
    )


def _runs(spec: RuleSpec, subjects: Sequence[Evaluated]) -> Iterator[Sequence[Evaluated]]:
    """Parts between which a tick may move something: a silence long enough. Where others than matches count, every subject by itself."""
    if spec.needs_unmatched:
        yield from ([one] for one in subjects)
        return
    silence, begin = spec.resolve_after_ms, 0
    for end in range(1, len(subjects)):
        if subjects[end].ingested_at - subjects[end - 1].ingested_at >= silence:
            yield subjects[begin:end]
            begin = end
    if subjects:
        yield subjects[begin:]


def summary(play: Backtest) -> dict[str, int]:
    """Returns how often the rule would have told what, and how often it would have been quiet."""
    kinds = Counter(change.kind for change in play.changes)
    return {
        "evaluated": play.evaluated,
        "groups": len({change.group for change in play.changes}),
        "alerts": kinds["fired"],
        "renotified": kinds["renotified"],
        "resolved": kinds["resolved"],
        "suppressed": play.why["suppressed"],
    }
