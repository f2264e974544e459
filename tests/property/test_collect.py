"""Conditions that have to come together: any order, copies and restarts make the same one event a trace."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.documents.rule import RuleSpec
from schemas.rule import Evaluated, RuleCondition
from streams.logic.collect import AtTime, Collect
from streams.logic.matching import Match
from streams.logic.rules import RuleVersion

KEPT_MS = 60_000
CONDITIONS = ({"scorer": "a", "is": "fails"}, {"metric": "tokens", "op": ">", "value": 5}, {"tag": "vip"})


def version(name: str = "v1", conditions: Sequence[dict[str, Any]] = CONDITIONS, **further: object) -> RuleVersion:
    spec = RuleSpec.model_validate({"when": {"all": conditions}, "group_by": ["session"], **further})
    return RuleVersion("shop", "r", name, spec)


RULE = version()


def condition(number: int, trace: str = "t", at: int = 1, subject: str = "", *, matched: bool = True) -> RuleCondition:
    span = subject or f"s{number}"
    return RuleCondition(
        project="shop",
        trace_id=trace,
        rule="r",
        rule_version="v1",
        condition=number,
        group=(f"session of {span}",),
        evaluated=Evaluated(
            subject_kind="span", subject_id=f"{trace}:{span}", ingested_at=at, trace_id=trace, span_id=span,
            reason=f"because of {number}", value=0.25 if number == 0 else None, matched=matched,
        ),
    )  # fmt: skip


@dataclass
class Reader:
    """Folds a log as the loop does: what was handled before a restart is folded again, and not written again."""

    log: Sequence[tuple[int, RuleCondition]]
    rule: RuleVersion = RULE
    kept_ms: int = KEPT_MS
    handled: int = 0
    written: list[Match] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.collect = Collect(self.kept_ms)

    def read(self, to: int) -> list[Match]:
        for offset in range(self.handled, to):
            self.written += self._fold(offset)
        self.handled = to
        return self.written

    def restart(self) -> None:
        since = self.handled if self.collect.since is None else self.collect.since
        self.collect = Collect(self.kept_ms)
        for offset in range(since, self.handled):
            self._fold(offset)

    def _fold(self, offset: int) -> list[Match]:
        at, one = self.log[offset]
        match = self.collect.take(one, self.rule, lambda _: self.rule, at, offset)
        return [match] if match else []


@given(st.permutations([0, 1, 2, 0, 1, 2, 1]), st.lists(st.integers(1, 1000), min_size=3, max_size=3))
def test_whatever_the_order_and_however_often_a_trace_matches_once_and_alike(
    order: list[int], times: list[int]
) -> None:
    reader = Reader([(place, condition(number, at=times[number])) for place, number in enumerate(order)])
    (match,) = reader.read(len(order))
    assert (match.rule, match.group) == (RULE, ("session of s0",))
    assert match.evaluated == Evaluated(
        subject_kind="trace", subject_id="t", ingested_at=max(times), trace_id="t", span_id="s0", value=0.25,
        reason="because of 0; because of 1; because of 2",
    )  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int, RuleCondition]]:
    """Conditions of some traces, several subjects of each, in any order, spread over minutes."""
    entries = []
    for trace in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, 300_000))
        for number in draw(st.lists(st.integers(0, 2), max_size=8)):
            at = begin + draw(st.integers(0, KEPT_MS - 1))
            subject = f"s{draw(st.integers(0, 2))}"
            entries.append((at, condition(number, str(trace), at, subject)))
    return sorted(entries, key=lambda entry: entry[0])


@settings(max_examples=200, deadline=None)
@given(logs(), st.lists(st.integers(0, 40), max_size=5))
def test_a_trace_matches_once_when_all_came_and_restarts_change_nothing(
    log: list[tuple[int, RuleCondition]], restarts: list[int]
) -> None:
    reader = Reader(log)
    for to in sorted(restarts):
        reader.read(min(max(to, reader.handled), len(log)))
        reader.restart()
    found = reader.read(len(log))
    numbers: dict[str, set[int]] = {}
    for _, one in log:
        numbers.setdefault(one.trace_id, set()).add(one.condition)
    assert sorted(match.evaluated.subject_id for match in found) == sorted(
        t for t, of in numbers.items() if len(of) == 3
    )
    assert found == Reader(log).read(len(log))


def test_of_two_subjects_of_one_condition_the_earlier_speaks_whichever_came_first() -> None:
    for first, second in ((3, 7), (7, 3)):
        told = [(0, condition(0, at=first, subject=f"s{first}")), (1, condition(0, at=second, subject=f"s{second}"))]
        (match,) = Reader([*told, (2, condition(1)), (3, condition(2))]).read(4)
        assert match.group == ("session of s3",)


def test_what_stays_alone_is_let_go_in_time_and_told() -> None:
    reader = Reader([(0, condition(0)), (1, condition(1)), (KEPT_MS, condition(2))])
    assert reader.read(3) == []
    assert reader.collect.counted == {"conditions that stayed alone": 1}
    assert reader.collect.since == 2


def test_too_many_leave_the_oldest_first_and_are_told() -> None:
    collect = Collect(KEPT_MS, most_entries=2)
    for offset in range(5):
        collect.take(condition(0, str(offset)), RULE, lambda _: RULE, offset, offset)
    assert (len(collect), collect.since, dict(collect.counted)) == (2, 3, {"too many conditions": 3})


def test_conditions_told_before_and_after_an_edit_of_when_never_come_together() -> None:
    edited = version("v2", (*CONDITIONS[:2], {"tag": "gold"}))
    collect = Collect(KEPT_MS)
    assert collect.take(condition(0), RULE, lambda _: edited, 0, 0) is None
    for number in (1, 2):
        assert collect.take(condition(number), edited, lambda _: edited, 1, 1) is None
    assert collect.take(condition(0), edited, lambda _: edited, 2, 2) is not None


def test_a_rule_that_was_edited_elsewhere_fires_by_the_version_of_the_last_subject() -> None:
    newer = version("v2", times=3)
    collect = Collect(KEPT_MS)
    collect.take(condition(0, at=5), RULE, lambda _: newer, 0, 0)
    collect.take(condition(1, at=9), newer, lambda _: newer, 1, 1)
    match = collect.take(condition(2, at=2), RULE, lambda at: newer if at == 9 else None, 2, 2)
    assert match is not None
    assert match.rule is newer


def test_a_rule_that_is_off_or_gone_by_then_says_nothing() -> None:
    at_time: list[AtTime] = [lambda _: None, lambda _: version(enabled=False)]
    for gone in at_time:
        collect = Collect(KEPT_MS)
        for number in range(3):
            assert collect.take(condition(number), RULE, gone, number, number) is None
        assert collect.counted == {"rule changed": 1}


def test_a_trace_that_was_looked_at_by_all_is_told_as_no_match_and_may_become_one() -> None:
    unmatched = condition(1, matched=False)
    reader = Reader(
        [(0, condition(0)), (1, unmatched), (2, condition(2)), (3, unmatched), (4, condition(1)), (5, unmatched)]
    )
    assert [match.evaluated.matched for match in reader.read(6)] == [False, True]


def test_what_has_no_trace_stands_for_itself() -> None:
    told = Evaluated(subject_kind="example", subject_id="e", ingested_at=1)
    collect = Collect(KEPT_MS)
    ones = [condition(n).model_copy(update={"trace_id": "e", "evaluated": told}) for n in range(3)]
    *_, match = (collect.take(one, RULE, lambda _: RULE, 0, 0) for one in ones)
    assert match is not None
    assert (match.evaluated.subject_kind, match.evaluated.subject_id) == ("example", "e")
