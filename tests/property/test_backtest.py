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


FORMS: list[dict[str, Any]] = [
    {},
    {"resolve_after": "3s"},
    {"resolve_after": "20s"},
    {"resolve_after": "100s"},
    {"sustained": "30s"},
    {"sustained": "60s", "resolve_after": "40s"},
    {"rate": {"share": 0.5, "of": 2}},
    {"rate": {"share": 0.2, "of": 5}, "resolve_after": "10s"},
    {"no_traffic": "40s"},
]


@st.composite
def rules(draw: st.DrawFn, forms: list[dict[str, Any]] = FORMS) -> RuleVersion:
    spec = {
        "when": {"all": [{"scorer": "S", "is": "fails"}]},
        "group_by": ["agent"],
        "within": f"{draw(st.integers(1, 60))}s",
        "cooldown": f"{draw(st.integers(0, 120))}s",
        **draw(st.sampled_from(forms)),
    }
    if not {"rate", "no_traffic"} & spec.keys():
        spec["times"] = draw(st.integers(1, 4))
    return RuleVersion("p", "r", "v", RuleSpec.model_validate(spec), effective_at=START)


Row = tuple[int, str, str, bool]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 600).map(lambda s: START + s * SECOND),
        st.sampled_from("abc"),
        st.integers(0, 60),
        st.sampled_from((True, True, False)),
    ),
    max_size=60,
).map(lambda rows: sorted({f"s{n}-{at}": (at, f"s{n}-{at}", agent, did) for at, agent, n, did in rows}.values()))


def evaluated(at: int, identity: str, *, matched: bool) -> Evaluated:
    return Evaluated(subject_kind="example", subject_id=identity, ingested_at=at, matched=matched)


def live(rule: RuleVersion, rows: list[Row], until: int) -> list[AlertChange]:
    """One event a subject, a tick every 5 s."""
    states: dict[str, RuleState] = {}
    told: list[AlertChange] = []
    coming = [(at, 1, identity, agent, did) for at, identity, agent, did in wanted(rule, rows)]
    coming += [(at, 0, "", "", False) for at in range(START - START % TICK_MS, until, TICK_MS)]
    for at, is_subject, identity, agent, did in sorted(coming, key=lambda one: (one[0], -one[1])):
        position = Position(-1, -1, at)
        if is_subject:
            subjects = (evaluated(at, identity, matched=did),)
            event = RuleEvent(project="p", rule="r", rule_version="v", group=(agent,), evaluated=subjects)
            done = step(rule, states.get(agent), event, position)
            if done.state is not None:
                states[agent] = done.state
            told += done.changes
            continue
        for group, state in list(states.items()):
            ticked = tick(rule, state, position)
            told += ticked.changes
            if ticked.state is None:
                del states[group]
            else:
                states[group] = ticked.state
    return told


def wanted(rule: RuleVersion, rows: list[Row]) -> list[Row]:
    """What the matcher would send."""
    return [row for row in rows if row[3] or rule.spec.needs_unmatched]


def blocks(rows: list[Row], size: int) -> list[list[list[Any]]]:
    return [_columns(rows[n : n + size]) for n in range(0, len(rows), size)]


def _columns(rows: list[Row]) -> list[list[Any]]:
    times, ids, agents, matched = (list(column) for column in zip(*rows, strict=True))
    return [times, ["example"] * len(rows), ids, matched, agents]


def by_group(changes: list[AlertChange]) -> dict[str, list[tuple[Any, ...]]]:
    """What is told of each group; a change that is sent again counts once."""
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for c in {(c.alert_id, c.change): c for c in changes}.values():
        found[c.group[0]].append((c.changed_at, c.kind, c.alert_id, c.change, c.subjects, c.matched, c.suppressed))
    return found


@given(rules(), ROWS, st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_a_backtest_tells_what_a_live_job_tells(rule: RuleVersion, rows: list[Row], size: int) -> None:
    until = START + 2000 * SECOND
    play = Backtest(rule, since=START)
    for block in blocks(wanted(rule, rows), size):
        play.take(block)
    play.finish(until)
    assert by_group(play.changes) == by_group(live(rule, rows, until))


@given(rules(FORMS[:4]), ROWS, st.integers(100, 500))
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
    reach = rule.spec.within + (rule.spec.sustained or 0)
    before = [row for row in rows if row[0] >= since - reach]
    for block in blocks(wanted(rule, before), 7):
        play.take(block)
    found = sorted((c.group, c.firing_id) for c in play.changes if c.kind in ("fired", "renotified"))
    assert found == sorted((c.group, c.firing_id) for c in fired if c.changed_at >= since)
