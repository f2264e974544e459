"""When a rule would have fired: the live fold over what is stored, in the order of (ingest time, subject id)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.alert import AlertChange
from schemas.rule import Evaluated, RuleEvent
from schemas.rule_state import Firing, RuleState, pack_subjects, subject_hash
from streams.logic.conditions import group_key
from streams.logic.rules import SUBJECTS_LEAST, Position, RuleVersion, step, tick
from streams.ticks import TICK_S

Group = tuple[str, ...]
TICK_MS = round(TICK_S * 1000)


@dataclass
class Backtest:
    """Folds blocks of evaluated subjects and collects what the rule would have told from `since` on.

    Before `since` the windows fill and nothing is told. `firings` are the last ones before it by group: their cooldown still holds.
    """

    rule: RuleVersion
    since: int
    firings: Mapping[Group, int] = field(default_factory=dict)
    changes: list[AlertChange] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)
    evaluated: int = 0
    _states: dict[Group, RuleState | None] = field(default_factory=dict)
    _before: dict[Group, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, columns: Sequence[Sequence[Any]]) -> None:
        """Folds one block: ingest times, kinds, ids, whether they matched, and a column for each group_by."""
        times, kinds, ids, matched, *groups = columns
        by_group: dict[Group, list[Evaluated]] = defaultdict(list)
        for at, kind, identity, did, *values in zip(times, kinds, ids, matched, *groups, strict=True):
            by_group[tuple(values)].append(_evaluated(at, kind, identity, matched=bool(did)))
        for group, subjects in by_group.items():
            self.fold(group, subjects)

    def finish(self, until: int) -> None:
        """Ends what would have ended by silence before `until`."""
        for group in list(self._states):
            self._tick(group, until)

    def fold(self, group: Group, subjects: Sequence[Evaluated]) -> None:
        """Folds subjects of one group, in the order of (ingest time, subject id)."""
        self.evaluated += len(subjects)
        early = [one for one in subjects if one.ingested_at < self.since]
        self._before[group] += [(one.ingested_at, subject_hash(one.subject_kind, one.subject_id)) for one in early]
        live = subjects[len(early) :]
        if live and group not in self._states:
            self._states[group] = self._seeded(group)
        for run in _runs(live, self.rule.spec.resolve_after_ms):
            self._tick(group, run[0].ingested_at)
            self._step(group, run)

    def _seeded(self, group: Group) -> RuleState:
        room = max(2 * self.rule.spec.times, SUBJECTS_LEAST)
        entries = sorted(self._before.pop(group, []))[-room:]
        fired = self.firings.get(group)
        return RuleState(
            window_since=self.rule.window_since,
            watermark=entries[-1][0] if entries else 0,
            subjects=pack_subjects(entries),
            firings=(Firing(at=fired, firing_id=""),) if fired is not None else (),
        )

    def _step(self, group: Group, run: list[Evaluated]) -> None:
        event = RuleEvent.trusted(
            {
                "project": self.rule.project,
                "rule": self.rule.name,
                "rule_version": self.rule.version,
                "group": group,
                "group_key": group_key(self.rule.spec, group),
                "evaluated": run,
                "command": None,
            }
        )
        done = step(self.rule, self._states[group], event, Position(-1, -1, run[-1].ingested_at))
        self._states[group] = done.state
        self.changes += done.changes
        self.why.update(done.why)

    def _tick(self, group: Group, now: int) -> None:
        """The tick of a live job that would have resolved the group's alert, if it came before `now`."""
        state = self._states.get(group)
        if state is None or not state.open:
            return
        due = state.matched_at + self.rule.spec.resolve_after_ms
        at = due + -due % TICK_MS
        if at < now:
            done = tick(self.rule, state, Position(-1, -1, at))
            self._states[group] = done.state
            self.changes += done.changes
            self.why.update(done.why)


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


def _runs(subjects: Iterable[Evaluated], silence: int) -> Iterator[list[Evaluated]]:
    """Parts between which the rule was silent for so long that an alert would have resolved."""
    run: list[Evaluated] = []
    for one in subjects:
        if run and one.ingested_at - run[-1].ingested_at >= silence:
            yield run
            run = []
        run.append(one)
    if run:
        yield run


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
