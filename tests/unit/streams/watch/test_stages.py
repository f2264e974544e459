"""Which stage is named, and when somebody hears of it."""

from hypothesis import given
from hypothesis import strategies as st

from streams.watch.stages import BESIDE, REPEAT_MS, STAGES, Incidents, held_up

WAY = [stage for stage in STAGES if stage not in BESIDE]
ALL = set(STAGES)
MINUTE = 60_000


def test_a_canary_that_came_through_is_held_up_by_nobody() -> None:
    assert held_up(ALL) == ()


def test_of_a_way_that_breaks_only_the_first_missing_stage_is_named() -> None:
    assert held_up({"kafka", "bridge", "normalise", "store", "api"}) == ("sample",)


def test_without_kafka_nothing_else_is_blamed() -> None:
    assert held_up(set()) == ("kafka",)


def test_the_store_is_blamed_only_for_what_was_normalised() -> None:
    assert held_up(ALL - {"store"}) == ("store",)
    assert held_up({"kafka", "bridge", "api"}) == ("normalise",)


def test_the_api_stands_beside_the_way() -> None:
    assert held_up(ALL - {"api"}) == ("api",)
    assert held_up(ALL - {"api", "score", "match", "complete", "count", "deliver"}) == ("score", "api")


@given(st.sampled_from(WAY))
def test_whatever_stage_is_wedged_is_the_one_that_is_named(wedged: str) -> None:
    passed = set(WAY[: WAY.index(wedged)]) | set(BESIDE)
    assert held_up(passed)[0] == wedged


def news(incidents: Incidents, stages: tuple[str, ...], now: int) -> list[tuple[str, str]]:
    """What is told after a round, to somebody who hears it."""
    found = incidents.after(stages, now)
    for one in found:
        incidents.told(one, now)
    return [(one.stage, one.kind) for one in found]


def test_an_incident_is_told_at_once_and_not_again_before_half_an_hour() -> None:
    incidents = Incidents()
    assert news(incidents, ("score",), 0) == [("score", "wedged")]
    assert news(incidents, ("score",), MINUTE) == []
    assert news(incidents, ("score",), REPEAT_MS) == [("score", "still wedged")]
    assert news(incidents, ("score",), REPEAT_MS + MINUTE) == []


def test_its_end_is_told_once() -> None:
    incidents = Incidents()
    news(incidents, ("score",), 0)
    assert news(incidents, (), MINUTE) == [("score", "recovered")]
    assert news(incidents, (), 2 * MINUTE) == []
    assert news(incidents, ("score",), 3 * MINUTE) == [("score", "wedged")]


def test_what_nobody_heard_is_told_after_the_next_round() -> None:
    incidents = Incidents()
    assert [one.kind for one in incidents.after(("deliver",), 0)] == ["wedged"]
    assert [(one.kind, one.since) for one in incidents.after(("deliver",), MINUTE)] == [("wedged", 0)]


def test_an_incident_of_which_nobody_heard_ends_in_silence() -> None:
    incidents = Incidents()
    incidents.after(("deliver",), 0)
    assert incidents.after((), MINUTE) == []


def test_two_stages_are_told_apart() -> None:
    incidents = Incidents()
    assert news(incidents, ("score", "api"), 0) == [("score", "wedged"), ("api", "wedged")]
    assert news(incidents, ("api",), MINUTE) == [("score", "recovered")]
