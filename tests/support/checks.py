"""What must hold for every log of one rule and group. Each raises AssertionError when it does not."""

from collections.abc import Iterable, Sequence
from random import Random

from schemas.alert import AlertChange
from schemas.codec import Schemas, encode
from schemas.rule_state import RuleState
from tests.support.reference import Reference, told
from tests.support.rule_logs import GROUP, Entry, folded

HOUR = 3_600_000


def agrees(log: Sequence[Entry], sample: int) -> None:
    """The fold tells what the reference tells, and nothing twice."""
    reference, state = Reference(sample), None
    known: set[tuple[str, int]] = set()
    for entry in log:
        if entry.event is None:
            expected = reference.tick(entry.rule, GROUP, entry.at)
        else:
            assert entry.rule is not None
            expected = reference.event(entry.rule, entry.event, entry.at)
        done = folded(entry, state)
        state = done.state
        new = [change for change in done.changes if (change.alert_id, change.change) not in known]
        assert [told(change) for change in new] == expected
        known |= {(change.alert_id, change.change) for change in new}
        assert (state is not None and state.open is not None) == (reference.alert is not None)


def survives_a_crash(log: Sequence[Entry], choose: Random) -> None:
    """The state survives from some point, no alert since an earlier one does: the whole is told, and nothing else."""
    states: list[RuleState | None] = [None]
    uninterrupted: list[AlertChange] = []
    starts = [0]
    for entry in log:
        done = folded(entry, states[-1])
        uninterrupted += done.changes
        states.append(done.state)
        starts.append(len(uninterrupted))
    crashed_at = choose.randint(1, len(log))
    recent = [n for n in range(crashed_at) if log[n].at.appended_at >= log[crashed_at - 1].at.appended_at - HOUR]
    rewound_to = choose.choice(recent)
    state = states[choose.randint(rewound_to, crashed_at)]
    state = Schemas().decode(RuleState, encode(state)) if state else None
    again = uninterrupted[: starts[rewound_to]]
    for entry in log[rewound_to:]:
        done = folded(entry, state)
        state = done.state
        again += done.changes
    assert _by_identity(again) == _by_identity(uninterrupted)
    assert state == states[-1]


def one_by_one(log: Iterable[Entry]) -> None:
    """A record does what its subjects do one by one, in order."""
    whole: RuleState | None = None
    single: RuleState | None = None
    for entry in log:
        done = folded(entry, whole)
        whole = done.state
        changes: list[AlertChange] = []
        for part in _parts(entry):
            one = folded(part, single)
            single = one.state
            changes += one.changes
        if entry.rule and entry.rule.spec.no_traffic:
            continue  # it knows a record, not its subjects
        assert _by_identity(changes) == _by_identity(done.changes)
        assert _unwritten(whole) == _unwritten(single)


def _parts(entry: Entry) -> list[Entry]:
    if entry.event is None or entry.event.command:
        return [entry]
    ordered = sorted(entry.event.evaluated, key=lambda one: (one.ingested_at, one.subject_id))
    return [Entry(entry.at, entry.rule, entry.event.model_copy(update={"evaluated": (one,)})) for one in ordered]


def _unwritten(state: RuleState | None) -> RuleState | None:
    return state and state.model_copy(update={"writes": 0})


def _by_identity(changes: Iterable[AlertChange]) -> dict[tuple[str, int], bytes]:
    found: dict[tuple[str, int], bytes] = {}
    for change in changes:
        assert found.setdefault((change.alert_id, change.change), encode(change)) == encode(change)
    return found
