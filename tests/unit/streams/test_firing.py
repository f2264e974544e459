"""Which subjects a firing gathered."""

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.logic.firing import Match, firing_window, gathered, kept_quiet, subjects
from streams.logic.window import NOTHING, Window

MINUTE = 60_000


def match(subject: str, at: int, offset: int = 0) -> Match:
    return Match("span", subject, f"trace-{subject}", at, offset)


def ids(matches: list[Match]) -> list[str]:
    return [one.subject_id for one in matches]


def test_the_window_holds_the_trigger_and_all_that_lie_within_its_length_of_the_first() -> None:
    matches = [match("old", 0), match("a", 6 * MINUTE), match("b", 8 * MINUTE), match("c", 10 * MINUTE)]
    assert ids(firing_window(matches, at=10 * MINUTE, within=5 * MINUTE)) == ["a", "b", "c"]


def test_a_window_is_half_open() -> None:
    matches = [match("a", 0), match("b", 5 * MINUTE)]
    assert ids(firing_window(matches, at=5 * MINUTE, within=5 * MINUTE)) == ["b"]
    assert ids(firing_window(matches, at=5 * MINUTE, within=5 * MINUTE + 1)) == ["a", "b"]


def test_a_trigger_that_came_late_gathers_what_lies_after_it_too() -> None:
    matches = [match("late", 10), match("b", 20), match("c", 30)]
    assert ids(firing_window(matches, at=10, within=100)) == ["late", "b", "c"]


def test_of_windows_that_hold_as_many_the_earliest_counts_and_without_matches_there_is_none() -> None:
    matches = [match("a", 0), match("trigger", 10), match("c", 20)]
    assert ids(firing_window(matches, at=10, within=15)) == ["a", "trigger"]
    assert firing_window([], at=10, within=15) == []


def test_a_subject_that_two_versions_of_the_rule_matched_counts_once() -> None:
    assert len(subjects([match("a", 0), match("a", 1), match("b", 2)])) == 2


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.integers(1, 120), st.randoms(use_true_random=False))
def test_the_window_holds_as_many_subjects_as_the_counter_tells(
    times: list[int], within: int, order: random.Random
) -> None:
    """`subjects` of a change is what `Window.most` says: fewer gathered would be waited for in vain."""
    entries = [(at, f"{number:08}".encode()) for number, at in enumerate(times)]
    trigger = order.choice(entries)
    window = Window(b"", NOTHING, within, 512)
    for entry in order.sample(entries, len(entries)):
        window.add(entry)
    matches = [match(known.decode(), at) for at, known in entries]
    assert len(firing_window(matches, trigger[0], within)) == window.most(trigger)


def test_what_lies_within_the_cooldown_of_an_earlier_firing_was_kept_quiet() -> None:
    matches = [match("before", 50), match("near", 91), match("after", 109), match("at the end", 110)]
    assert ids(kept_quiet(matches, firings=[100], cooldown=10)) == ["near", "after"]
    assert kept_quiet(matches, firings=[], cooldown=10) == []


def test_a_subject_is_gathered_once_in_the_order_of_the_ingest_times() -> None:
    window, quiet = [match("b", 2), match("c", 3)], [match("a", 1), match("b", 2)]
    assert ids(gathered(window, quiet)) == ["a", "b", "c"]
