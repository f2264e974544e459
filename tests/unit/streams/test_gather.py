"""What an alert change brings a dataset, over a ClickHouse that is a table in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from schemas.alert import AlertChange
from schemas.ids import dataset_item_id
from sinks.dataset import Told
from sinks.sink import Transient
from sinks.testing import FIRED, RENOTIFIED, RESOLVED, RULE
from streams.gather import items, subjects
from streams.logic.firing import Match
from streams.logic.rules import RuleVersion

AT, MINUTE = FIRED.changed_at, 60_000
VERSION = RuleVersion(FIRED.project, FIRED.rule, FIRED.rule_version, RULE)


@dataclass
class Stored:
    """What ClickHouse would answer."""

    change: AlertChange
    rows: Sequence[tuple[str, str, str, int, int]] = ()
    earlier: Sequence[Told] = ()
    said: dict[str, bytes] = field(default_factory=dict)
    members: frozenset[str] = frozenset()

    def matches(self, after: int = -1, before: int = 1 << 60, since: int = 0) -> Sequence[Sequence[Any]]:
        return [row for row in self.rows if after < row[3] < before and row[4] >= since]

    def told(self) -> list[Told]:
        return list(self.earlier)

    def fields(self, kind: str, subjects: Sequence[str], traces: Iterable[str]) -> dict[str, bytes]:  # noqa: ARG002
        return {subject: self.said[subject] for subject in subjects if subject in self.said}

    def known(self, dataset: str, items: Sequence[str]) -> set[str]:  # noqa: ARG002
        return set(items) & self.members


def row(subject: str, at: int, offset: int = 5) -> tuple[str, str, str, int, int]:
    return "span", subject, "trace", at, offset


def found(stored: Stored, version: RuleVersion = VERSION) -> list[str]:
    return [match.subject_id for match in subjects(stored, version)]


def test_a_firing_gathers_its_window_and_waits_until_all_of_it_is_stored() -> None:
    three = [row("a", AT - 2 * MINUTE), row("b", AT - MINUTE), row("c", AT)]
    assert found(Stored(FIRED, [row("long ago", AT - 9 * MINUTE), *three])) == ["a", "b", "c"]
    with pytest.raises(Transient, match="ClickHouse lacks 1 of the subjects so far"):
        found(Stored(FIRED, three[:2]))


def test_what_matched_before_the_conditions_changed_is_not_gathered() -> None:
    rows = [row("old", AT - 2 * MINUTE), row("a", AT - MINUTE), row("b", AT), row("c", AT)]
    since = RuleVersion(FIRED.project, FIRED.rule, FIRED.rule_version, RULE, window_since=AT - MINUTE)
    assert found(Stored(FIRED, rows), since) == ["a", "b", "c"]


def test_the_next_change_gathers_what_its_cooldown_kept_quiet_and_waits_for_it_too() -> None:
    again = RENOTIFIED.model_copy(update={"events_offset": 9, "changed_at": AT + 60 * MINUTE})
    window = [row(name, again.changed_at, 9) for name in "abc"]
    quiet = [row(f"quiet-{n}", AT + n * MINUTE, 6 + n) for n in range(3)]
    counted = row("between", AT + 31 * MINUTE, 8)  # after the cooldown, before the next firing: counted, not suppressed
    earlier = [Told("fired", AT, AT + 30 * MINUTE, 5)]
    assert found(Stored(again, [*quiet, counted, *window], earlier)) == ["quiet-0", "quiet-1", "quiet-2", "a", "b", "c"]
    with pytest.raises(Transient, match="lacks 1 "):
        found(Stored(again, [*quiet[:2], counted, *window], earlier))


def test_a_cooldown_that_was_longer_then_is_not_forgotten() -> None:
    again = RESOLVED.model_copy(update={"suppressed": 1})
    earlier = [Told("fired", AT, AT + 120 * MINUTE, 5)]
    assert found(Stored(again, [row("late", AT + 90 * MINUTE, 7)], earlier)) == ["late"]


def test_the_end_of_an_alert_without_anything_kept_quiet_adds_nothing() -> None:
    assert found(Stored(RESOLVED.model_copy(update={"suppressed": 0}), [row("a", AT)])) == []


def test_an_item_carries_its_fields_its_trace_and_where_it_came_from() -> None:
    stored = Stored(FIRED, said={"a": b'{"input":"Hi"}'})
    (item,) = items(stored, [Match(*row("a", AT))], "kept", patient=True)
    assert (item.dataset, item.subject_id, item.trace_id, item.added_by) == ("kept", "a", "trace", f"rule {FIRED.rule}")
    assert item.item_id == dataset_item_id(FIRED.project, "kept", "span:a")
    assert orjson.loads(item.fields) == {"input": "Hi"}


def test_what_is_in_a_dataset_or_was_removed_from_it_is_not_added_again() -> None:
    stored = Stored(FIRED, members=frozenset({dataset_item_id(FIRED.project, "kept", "span:a")}), said={"b": b"{}"})
    made = items(stored, [Match(*row("a", AT)), Match(*row("b", AT))], "kept", patient=True)
    assert [item.subject_id for item in made] == ["b"]


def test_fields_that_never_come_keep_a_subject_out_only_for_a_while() -> None:
    stored, match = Stored(FIRED), Match(*row("a", AT))
    with pytest.raises(Transient, match="ClickHouse lacks the fields of 1 spans so far"):
        list(items(stored, [match], "kept", patient=True))
    (item,) = items(stored, [match], "kept", patient=False)
    assert item.fields == b"{}"
