"""A back-test folds in blocks and jumps over silence; it must tell what a live job tells that takes one match and one tick at a time."""

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.rule import Evaluated, RuleEvent
from schemas.rule_state import RuleState
from streams.history.backtest import TICK_MS, Backtest
from streams.logic.rules import Position, RuleVersion, step, tick

START = 1_700_000_000_000
SECOND = 1000


@st.composite
def rules(draw: st.DrawFn) -> RuleVersion:
    spec = {
        "when": {"all": [{"scorer": "S", "is": "fails"}]},
        "group_by": ["agent"],
        "times": draw(st.integers(1, 4)),
        "within": f"{draw(st.integers(1, 60))}s",
        "cooldown": f"{draw(st.integers(0, 120))}s",
        "resolve_after": draw(st.sampled_from([None, "3s", "20s", "100s"])),
    }
    return RuleVersion("p", "r", "v", RuleSpec.model_validate(spec))


Row = tuple[int, str, str]
ROWS = st.lists(
    st.tuples(st.integers(0, 600).map(lambda s: START + s * SECOND), st.sampled_from("abc"), st.integers(0, 60)),
    max_size=60,
).map(lambda rows: sorted({(at, f"s{n}-{at}", agent) for at, agent, n in rows}))


def evaluated(at: int, identity: str) -> Evaluated:
    return Evaluated(subject_kind="example", subject_id=identity, ingested_at=at)


def live(rule: RuleVersion, rows: list[Row], until: int) -> list[AlertChange]:
    """One event a match, a tick every 5 s."""
    states: dict[str, RuleState] = {}
    told: list[AlertChange] = []
    coming = [(at, 1, identity, agent) for at, identity, agent in rows]
    coming += [(at, 0, "", "") for at in range(START - START % TICK_MS, until, TICK_MS)]
    for at, is_match, identity, agent in sorted(coming, key=lambda one: (one[0], -one[1])):
        position = Position(-1, -1, at)
        if is_match:
            event = RuleEvent(
                project="p", rule="r", rule_version="v", group=(agent,), evaluated=(evaluated(at, identity),)
            )
            done = step(rule, states.get(agent), event, position)
            assert done.state is not None
            states[agent] = done.state
            told += done.changes
            continue
        for group, state in list(states.items()):
            ticked = tick(rule, state, position)
            told += ticked.changes
            states[group] = ticked.state or RuleState()
    return told


def blocks(rows: list[Row], size: int) -> list[list[list[Any]]]:
    cut = [rows[n : n + size] for n in range(0, len(rows), size)]
    return [
        [[at for at, _, _ in block], ["example"] * len(block), [i for _, i, _ in block], [1] * len(block), [a for _, _, a in block]]
        for block in cut
    ]  # fmt: skip


def by_group(changes: list[AlertChange]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for c in changes:
        found[c.group[0]].append((c.changed_at, c.kind, c.alert_id, c.change, c.subjects, c.matched, c.suppressed))
    return found


@given(rules(), ROWS, st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_a_backtest_tells_what_a_live_job_tells(rule: RuleVersion, rows: list[Row], size: int) -> None:
    until = START + 2000 * SECOND
    play = Backtest(rule, since=START)
    for block in blocks(rows, size):
        play.take(block)
    play.finish(until)
    assert by_group(play.changes) == by_group(live(rule, rows, until))


@given(rules(), ROWS, st.integers(100, 500))
@settings(max_examples=100, deadline=None)
def test_it_may_begin_anywhere_when_it_knows_the_window_before_and_the_last_firing(
    rule: RuleVersion, rows: list[Row], later: int
) -> None:
    """Firings after the beginning are the same; the alert that was open then is not known to it."""
    since = START + later * SECOND
    whole = live(rule, rows, START + 2000 * SECOND)
    fired = [change for change in whole if change.kind in ("fired", "renotified")]
    last = {change.group: change.changed_at for change in fired if change.changed_at < since}
    play = Backtest(rule, since, last)
    within = [row for row in rows if row[0] >= since - rule.spec.within]
    for block in blocks(within, 7):
        play.take(block)
    found = sorted((c.group, c.firing_id) for c in play.changes if c.kind in ("fired", "renotified"))
    assert found == sorted((c.group, c.firing_id) for c in fired if c.changed_at >= since)
