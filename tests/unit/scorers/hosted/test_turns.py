"""Who takes what is few: nobody takes everything, and whoever comes next finds something."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scorers.hosted.turns import Terms, least_recent, may_take, next_in_turn


def test_a_scorer_alone_takes_a_third_and_another_of_its_project_still_finds_room() -> None:
    taken = 0
    while may_take(taken, taken, 1000 - taken):
        taken += 1
    assert taken == 333
    assert may_take(0, taken, 1000 - taken)


@given(st.integers(4, 200))
def test_however_few_there_are_one_scorer_leaves_some_to_another_of_its_project(most: int) -> None:
    taken = 0
    while may_take(taken, taken, most - taken):
        taken += 1
    assert taken >= 1
    assert may_take(0, taken, most - taken)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=400), st.integers(8, 64))
def test_a_project_that_comes_last_finds_room_whatever_three_others_take(
    asked: list[tuple[str, str]], most: int
) -> None:
    """Each project leaves as much as it takes: three leave an eighth."""
    scorers: Counter[tuple[str, str]] = Counter()
    projects: Counter[str] = Counter()
    for project, scorer in asked:
        if may_take(scorers[project, scorer], projects[project], most - projects.total()):
            scorers[project, scorer] += 1
            projects[project] += 1
    assert projects.total() < most
    assert may_take(0, 0, most - projects.total())


def test_a_batch_takes_about_as_long_as_it_may_and_fills_the_threads_of_a_sandbox() -> None:
    terms = Terms(batch=128, threads=16, batch_s=0.05)
    assert [terms.batch_size(mean_s) for mean_s in (0, 0.0001, 0.001, 2.0)] == [128, 128, 50, 16]


def test_pauses_between_deaths_grow_to_a_limit() -> None:
    terms = Terms(first_pause_s=0.05, longest_pause_s=5)
    assert [terms.pause_s(deaths) for deaths in (0, 1, 2, 3, 100)] == [0, 0.05, 0.1, 0.2, 5]


def test_the_sandbox_that_was_idle_for_longest_goes_first() -> None:
    assert least_recent({"a": 3.0, "b": 1.0, "c": 2.0}) == "b"
    assert least_recent({}) is None


def test_the_project_with_the_fewest_sandboxes_is_next_then_the_scorer_then_who_came_first() -> None:
    of_project = {"a1": 3, "a2": 3, "b1": 1, "b2": 1, "b3": 1}
    assert next_in_turn(of_project, {"a1": 0, "a2": 3, "b1": 1, "b2": 0, "b3": 0}, of_project) == "b2"
    assert next_in_turn([], {}, {}) is None
