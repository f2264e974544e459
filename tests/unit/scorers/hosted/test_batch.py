import pytest

from scorers.hosted.batch import Batch
from scorers.hosted.channel import Died, Garbage, Judged, TimedOut, Unfinished

DONE = Judged(1.0)


def batch(size: int = 3, *, first: bool = True) -> Batch:
    return Batch("n", size, deadline_s=30, sent_at=100, first=first)


def begin(asked: Batch, *indices: int, now: float = 100) -> None:
    for index in indices:
        asked.read({"n": "n", "s": index}, now)


def finish(asked: Batch, *indices: int, now: float = 101) -> None:
    for index in indices:
        asked.read({"n": "n", "a": index, "v": 1.0}, now)


def test_a_batch_is_complete_when_every_example_has_an_answer() -> None:
    asked = batch()
    begin(asked, 0, 1, 2)
    finish(asked, 0, 2)
    assert not asked.complete
    finish(asked, 1)
    assert asked.complete


@pytest.mark.parametrize(
    "frames",
    [
        [{"n": "other", "s": 0}],
        [{"n": "n", "a": 0, "v": 1.0}],
        [{"n": "n", "s": 3}],
        [{"n": "n", "s": -1}],
        [{"n": "n", "s": True}],
        [{"n": "n", "s": 0}, {"n": "n", "s": 0}],
        [{"n": "n", "s": 0}, {"n": "n", "a": 0, "v": 1.0}, {"n": "n", "a": 0, "v": 0.0}],
        [{"n": "n"}],
        [{"n": "n", "b": 1}] * 5,
    ],
    ids=["foreign", "not begun", "not asked", "negative", "a bool", "twice begun", "twice answered", "empty", "flood"],
)
def test_what_a_worker_would_not_say_is_garbage(frames: list[dict[str, object]]) -> None:
    asked = batch()
    for frame in frames[:-1]:
        asked.read(frame, 100)
    with pytest.raises(Garbage):
        asked.read(frames[-1], 100)


def test_each_example_has_its_deadline_from_its_own_start() -> None:
    asked = batch()
    begin(asked, 0, now=100)
    assert asked.due() == 130
    finish(asked, 0, now=125)
    begin(asked, 1, now=125)
    assert asked.due() == 155


def test_a_worker_that_never_says_what_it_begins_has_one_deadline_from_the_last_word() -> None:
    assert batch().due() == 130


def test_the_one_that_ran_too_long_is_told_so_and_its_neighbours_are_called_again() -> None:
    asked = batch()
    begin(asked, 0, 1)
    finish(asked, 0)
    assert asked.overdue(130) == [DONE, TimedOut(30), Unfinished()]


def test_of_several_only_the_late_one_is_at_fault_when_the_others_are_heard() -> None:
    asked = batch()
    begin(asked, 0, now=100)
    begin(asked, 1, now=120)
    asked.read({"n": "n", "b": 1}, 129.9)
    assert asked.overdue(130) == [TimedOut(30), Unfinished(), Unfinished()]


def test_of_several_none_is_blamed_when_the_worker_has_fallen_silent() -> None:
    """One of them keeps the interpreter for itself, perhaps not the one that began first."""
    asked = batch()
    begin(asked, 0, 1, now=100)
    assert asked.overdue(130) == [Unfinished(suspect=True), Unfinished(suspect=True), Unfinished()]


def test_the_one_that_ran_when_the_sandbox_ended_is_at_fault() -> None:
    asked = batch()
    begin(asked, 0, 1)
    finish(asked, 0)
    assert asked.died("exit 3") == [DONE, Died("exit 3"), Unfinished()]


def test_a_batch_of_one_is_never_left_open_by_a_fresh_sandbox() -> None:
    assert batch(1).died("memory") == [Died("memory")]
    assert batch(1).overdue(130) == [TimedOut(30)]
    assert batch(1).garbled(Garbage("x")) == [Died("garbage: x")]


def test_garbage_in_a_sandbox_that_judged_before_may_be_an_earlier_ones_doing() -> None:
    asked = batch(2, first=False)
    begin(asked, 0)
    assert asked.garbled(Garbage("x")) == [Unfinished(), Unfinished()]
