"""The waiting room: how many may wait, how fast they leave, and from where it can be known again."""

from itertools import islice

from schemas.documents.scorer import ScorerSpec
from schemas.later import LaterRequest
from streams.logic.configuration import Configuration
from streams.logic.later import GiveUp, Release, Terms, await_scorer, try_again
from streams.logic.waiting import QUIET_MS, Ended, Pace, WaitingRoom
from tests.support.records import configured, entered, entry
from tests.support.waits import asked

TERMS = Terms(wait_ms=60_000, most=3)
NOTHING = Configuration()
SPEC = ScorerSpec(type="contains")


def unknown(example: str, scorer: str = "s", project: str = "default") -> LaterRequest:
    request = asked(example, 100_000, project, scorer)
    return await_scorer(request, request.pairs[0], TERMS)


def retry(example: str) -> LaterRequest:
    request = asked(example, version="v")
    later = try_again(request, request.pairs[0], "code", "busy", 10, 100_000, TERMS)
    assert isinstance(later, LaterRequest)
    return later


def left(later: LaterRequest) -> LaterRequest:
    return LaterRequest(project=later.project, scorer=later.scorer, later_id=later.later_id, state="released")


def room(*log: LaterRequest, stop: int = 0, terms: Terms = TERMS) -> WaitingRoom:
    made = WaitingRoom(terms, stop, 100_000)
    for offset, later in enumerate(log):
        made.fold(later, offset, 100_000)
    return made


def due(of: WaitingRoom, configuration: Configuration, now_ms: int, per_second: float = 1000) -> list[Ended]:
    return list(of.due(configuration, Pace(per_second), now_ms))


def test_one_too_many_is_refused_at_once_and_the_others_wait() -> None:
    made = room(*(unknown(f"e{n}") for n in range(4)))
    (ended,) = due(made, NOTHING, 100_000)
    reason = "too many wait already (3 for one scorer, 9 for all of a project): send less, or raise VEDETTE_LATER_MOST"
    assert (ended.later_id, ended.end) == (unknown("e3").later_id, GiveUp(reason))


def test_a_place_that_is_left_may_be_taken() -> None:
    made = room(*(unknown(f"e{n}") for n in range(3)), left(unknown("e1")), unknown("e4"))
    assert due(made, NOTHING, 100_000) == []


def test_names_that_nobody_gave_fill_the_room_for_their_own_project_only() -> None:
    made = room(*(unknown("e", f"s{n}") for n in range(10)), unknown("e", "s", "globex"))
    assert [ended.waiter.wish.place[:2] for ended in due(made, NOTHING, 100_000)] == [("default", "s9")]


def test_a_repetition_waits_no_second_time() -> None:
    made = room(unknown("e"), unknown("e"), left(unknown("e")))
    assert (made.waiters, made.held()) == ({}, None)


def test_what_is_held_is_the_first_that_still_waits() -> None:
    first, second, third = unknown("e0"), unknown("e1"), retry("e2")
    assert [room(*log).held() for log in ((first, second, third), (first, second, third, left(first)))] == [0, 1]


def test_a_retry_has_its_turn_when_it_is_due() -> None:
    made = room(retry("e"))
    assert due(made, NOTHING, 109_999) == []
    (ended,) = due(made, NOTHING, 110_000)
    assert ended.end == Release()
    assert due(made, NOTHING, 120_000) == []


def test_who_could_not_be_let_go_has_another_turn() -> None:
    made = room(retry("e"))
    (ended,) = due(made, NOTHING, 110_000)
    made.again(ended, 115_000)
    assert [due(made, NOTHING, at) for at in (114_999, 115_000)] == [[], [ended]]


def test_a_scorer_that_appears_calls_those_who_wait_for_it_and_a_later_one_those_who_come_after() -> None:
    made = room(unknown("e0"), unknown("e1", "other"))
    configuration = entered([(entry("Scorer", "s", SPEC), 101_000)])
    assert due(made, configuration, 102_999) == []
    (ended,) = due(made, configuration, 103_000)
    assert (ended.later_id, ended.end) == (
        unknown("e0").later_id,
        Release(configuration.newest("Scorer", "default", "s")),
    )
    made.fold(unknown("e2"), 2, 103_500)
    assert [ended.later_id for ended in due(made, configuration, 103_500)] == [unknown("e2").later_id]


def test_a_scorer_that_appears_after_it_was_looked_for_is_found() -> None:
    made, configuration = room(unknown("e")), Configuration()
    assert due(made, configuration, 100_500) == []
    configuration.apply(entry("Scorer", "s", SPEC), 101_000)
    assert due(made, configuration, 102_999) == []
    assert len(due(made, configuration, 103_000)) == 1


def test_who_comes_again_after_the_end_waits_again() -> None:
    made = room(retry("e"))
    assert len(due(made, NOTHING, 110_000)) == 1
    made.fold(left(retry("e")), 1, 110_000)
    made.fold(retry("e"), 2, 110_000)
    assert len(due(made, NOTHING, 110_000)) == 1


def test_a_project_leaves_as_fast_as_its_pace_allows_and_holds_up_nobody() -> None:
    terms = Terms(wait_ms=60_000)
    made = room(*(unknown(f"e{n}") for n in range(10)), unknown("e", "s", "globex"), terms=terms)
    configuration = entered((entry("Scorer", "s", SPEC, project), 101_000) for project in ("default", "globex"))
    pace = Pace(4)
    found = [[ended.waiter.wish.place[0] for ended in made.due(configuration, pace, now)] for now in (103_000, 103_500)]
    assert found == [["default", "globex", "default", "default", "default"], ["default", "default"]]


def test_whoever_is_not_taken_from_a_round_keeps_their_turn() -> None:
    made = room(*(retry(f"e{n}") for n in range(3)))
    pace = Pace(1000)
    first = list(islice(made.due(NOTHING, pace, 115_000), 2))
    rest = list(made.due(NOTHING, pace, 115_000))
    assert len({ended.later_id for ended in first + rest}) == 3


def test_an_older_version_is_not_what_an_example_waits_for_unless_it_names_it() -> None:
    configuration = configured(("Scorer", "s", SPEC))
    version = configuration.newest("Scorer", "default", "s")
    assert version is not None
    request = asked("named", version=version.version)
    made = room(unknown("e"), await_scorer(request, request.pairs[0], TERMS))
    assert [ended.waiter.offset for ended in due(made, configuration, 100_000)] == [1]


def test_it_is_live_when_it_has_read_to_where_the_partition_ended_or_nothing_comes_any_more() -> None:
    made = room(retry("e"), stop=2)
    assert [made.is_live(at) for at in (100_000, 100_001 + QUIET_MS)] == [False, True]
    made.fold(retry("f"), 1, 100_000)
    assert made.is_live(100_000)
