"""Rate, sustained and no-traffic, in sentences."""

import pytest
from pydantic import ValidationError

from schemas.documents.rule import RuleSpec
from streams.logic import rate
from streams.logic.silence import NEVER, due_at, quiet
from tests.support.counter import NOON, Counter, time

WHEN = {"all": [{"scorer": "s", "is": "fails"}]}


@pytest.fixture
def share() -> Counter:
    """One of five of at least ten within 10 minutes."""
    return Counter({"rate": {"share": 0.2, "of": 10}, "within": "10m", "cooldown": "30m"})


@pytest.fixture
def held() -> Counter:
    """At least two failures in every 2 minutes for 10 minutes."""
    return Counter({"times": 2, "within": "2m", "sustained": "10m", "cooldown": "30m"})


@pytest.fixture
def awaited() -> Counter:
    return Counter({"no_traffic": "15m", "cooldown": "30m"})


# --- rate ---------------------------------------------------------------------------------------------------------


def good(counter: Counter, *at: str) -> list[str]:
    return counter.push(*at, matched=False)


def test_one_failure_of_five_among_enough_fires_even_when_the_last_one_was_good(share: Counter) -> None:
    share.push("1s", "2s")
    assert good(share, *(f"{n}s" for n in range(3, 10))) == []
    assert good(share, "10s") == ["fired"]
    (fired,) = share.changes
    assert fired.cause == "20 % (2 of 10) in 10m, 20 % of 10 is enough"
    assert (fired.subjects, fired.matched, fired.changed_at) == (2, 2, time("10s"))
    assert [one.subject_id for one in fired.evidence] == ["1s", "2s"]


def test_less_than_the_share_is_quiet_however_many_fail(share: Counter) -> None:
    for minute in range(4):
        assert good(share, *(f"{minute}m{n}s" for n in range(2, 12))) == []
        assert share.push(f"{minute}m20s", f"{minute}m21s") == []


def test_the_window_of_a_rate_ends_at_the_newest_subject_and_is_half_open(share: Counter) -> None:
    share.push("0s", "1s")
    good(share, *(f"{n}s" for n in range(2, 9)))
    assert good(share, "10m1s-1ms") == []  # the first failure has just left
    other = Counter(share.knobs)
    other.push("0s", "1s")
    good(other, *(f"{n}s" for n in range(2, 9)))
    assert good(other, "10m-1ms") == ["fired"]


def test_a_subject_that_another_score_fails_later_counts_once_and_as_failed(share: Counter) -> None:
    good(share, *(f"{n}s" for n in range(10)))
    assert share.push("3s", appended="10s") == []
    assert share.why == {"counted": 1}
    assert good(share, "3s") == share.push("3s") == []
    assert share.why == {"duplicate": 1}
    assert share.push("4s", appended="11s") == ["fired"]
    assert share.changes[0].subjects == 2


def test_a_subject_older_than_the_window_is_too_late_for_a_rate_however_the_window_is_edited(share: Counter) -> None:
    share.push("20m")
    share.push("10m")
    assert share.why == {"too late": 1}
    share.edit(within="1h")
    share.push("10m")
    assert share.why == {"too late": 1}


def test_a_rate_renotifies_after_the_cooldown_and_resolves_when_the_share_was_not_reached_for_long(
    share: Counter,
) -> None:
    share.push(*(f"{n}s" for n in range(10)))
    share.push("20s", "25s")
    assert share.push("31m", *(f"31m{n}s" for n in range(1, 10))) == ["renotified"]
    assert share.changes[-1].suppressed == 2
    good(share, *(f"32m{n}s" for n in range(50)))
    share.push("50m")  # one of one: too few
    assert share.tick("1h2m48s") == []
    assert share.tick("1h2m49s") == ["resolved"]
    assert share.changes[-1].cause == "below the share for 30m"


def test_of_more_subjects_than_the_sample_holds_the_smallest_hashes_decide(
    share: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "SAMPLE", 64)
    ids = [f"{n}ms" for n in range(1, 4000)]
    for first in range(0, len(ids), 200):
        share.push(*ids[first : first + 200 : 2])
        good(share, *ids[first + 1 : first + 200 : 2])
    assert share.state is not None
    assert len(share.state.sample) // 17 < 64 * (1 + 4.2) * 1.5  # ln(4000 / 64) = 4.1
    share.edit(cooldown="0s")
    share.push("4s")
    cause = share.changes[-1].cause
    percent, about = float(cause.split(" %")[0]), int(cause.split("about ")[1].split(")")[0])
    assert abs(percent - 50) < 4 * 100 * (0.25 / 64) ** 0.5
    assert abs(about - 4000) < 4 * 4000 / 64**0.5


# --- sustained ----------------------------------------------------------------------------------------------------


def test_it_fires_when_the_condition_has_held_without_a_gap_for_so_long(held: Counter) -> None:
    assert held.push("0m", *(f"{n}m" for n in range(1, 11))) == []
    assert held.push("11m") == ["fired"]  # two in every 2 minutes since the second one
    assert held.changes[0].cause == "at least 2 in every 2m for 10m, 10m is enough"
    assert (held.changes[0].subjects, held.changes[0].changed_at) == (2, time("11m"))


def test_a_gap_begins_anew(held: Counter) -> None:
    held.push("0m", *(f"{n}m" for n in range(1, 10)))
    assert held.push("11m1s", "11m2s", "12m", "13m", "21m") == []
    assert held.push(*(f"{n}m30s" for n in range(21, 32))) == ["fired"]


def test_a_late_match_closes_the_gap(held: Counter) -> None:
    held.push("0m", "1m", "2m", "3m", "4m")
    held.push(*(f"{n}m" for n in range(7, 13)))
    assert held.push("5m", appended="12m") == []
    assert held.push("6m", appended="12m") == ["fired"]
    assert held.changes[0].changed_at == time("12m")


def test_it_is_remembered_for_longer_than_there_is_room_for_matches() -> None:
    often = Counter({"times": 2, "within": "10s", "sustained": "20m"})
    told = [often.push(*(f"{minute}m{n}s" for n in range(60))) for minute in range(21)]
    assert [bool(kinds) for kinds in told] == [False] * 20 + [True]


def test_a_sustained_rate_is_broken_by_one_evaluation_below_it() -> None:
    counter = Counter({"rate": {"share": 0.5, "of": 2}, "within": "2m", "sustained": "5m"})
    counter.push("0m", *(f"{n}m" for n in range(1, 5)))
    assert good(counter, "4m10s", "4m20s", "4m30s") == []
    assert counter.push("5m", "6m", "7m", "8m", "9m", "10m", "11m") == []
    assert counter.push("12m") == ["fired"]


def test_a_sustained_rate_is_broken_by_an_empty_window() -> None:
    counter = Counter({"rate": {"share": 1, "of": 1}, "within": "2m", "sustained": "5m"})
    assert counter.push("0m", "2m", "4m1ms", "6m", "8m", "9m") == []
    assert counter.push("9m1ms") == ["fired"]


# --- no traffic ---------------------------------------------------------------------------------------------------


def test_nothing_for_so_long_fires_once_and_the_next_subject_resolves(awaited: Counter) -> None:
    good(awaited, "0m")
    assert [awaited.tick(at) for at in ("15m-1ms", "15m", "2h")] == [[], ["fired"], []]
    assert good(awaited, "3h") == ["resolved"]
    fired, resolved = awaited.changes
    assert (fired.cause, fired.fired_at, fired.group_key) == (
        "nothing was evaluated for 15m, 15m is enough", time("15m"), '{"agent":"ann"}',
    )  # fmt: skip
    assert (resolved.cause, resolved.changed_at, resolved.change) == ("traffic returned", time("3h"), 1)
    assert awaited.tick("3h15m") == ["fired"]
    assert awaited.changes[2].alert_id != fired.alert_id


def test_silence_within_the_cooldown_fires_when_it_ends(awaited: Counter) -> None:
    good(awaited, "0m")
    awaited.tick("15m")
    good(awaited, "16m")
    assert [awaited.tick(at) for at in ("31m", "45m-1ms", "45m")] == [[], [], ["fired"]]


def test_a_silence_that_a_person_resolved_is_not_told_again(awaited: Counter) -> None:
    good(awaited, "0m")
    awaited.tick("15m")
    assert awaited.command("resolve", "20m") == ["resolved"]
    assert [awaited.tick(at) for at in ("1h", "70h")] == [[], []]
    good(awaited, "71h")
    assert awaited.tick("71h15m") == ["fired"]


def test_traffic_met_again_tells_the_same_again(awaited: Counter) -> None:
    good(awaited, "0m")
    awaited.tick("15m")
    good(awaited, "16m")
    before = awaited.state
    assert good(awaited, "16m") == ["resolved"]
    assert (awaited.changes[-1], awaited.state) == (awaited.changes[-2], before)


def test_an_edit_lets_the_silence_begin_anew(awaited: Counter) -> None:
    good(awaited, "0m")
    awaited.effective_at = time("10m")
    assert [awaited.tick(at) for at in ("15m", "25m")] == [[], ["fired"]]


def test_a_group_that_is_gone_is_forgotten_but_not_before_its_silence_was_told() -> None:
    counter = Counter({"no_traffic": "7d", "cooldown": "1m"})
    good(counter, "0m")
    assert [counter.tick(at) for at in ("73h", "7d")] == [[], ["fired"]]
    counter.command("resolve", "8d")
    counter.tick("11d")
    assert counter.why == {"forgotten": 1}
    assert counter.state is None


def test_the_one_group_of_a_rule_without_group_by_is_never_forgotten_while_the_rule_waits(awaited: Counter) -> None:
    good(awaited, "0m")
    awaited.tick("15m")
    awaited.command("resolve", "16m")
    assert awaited.state is not None
    ungrouped = RuleSpec.model_validate({"when": WHEN, "no_traffic": "15m"})
    rule = awaited.rule.__class__("p", "r", "v", ungrouped)
    assert due_at(rule, quiet(awaited.state)) == NEVER
    assert due_at(None, quiet(awaited.state)) == NOON + 15 * 60_000 + 72 * 3_600_000 + 1


# --- grammar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"rate": {"share": 0.2, "of": 30}, "times": 3}, "`rate` counts a share and `times` a number"),
        ({"no_traffic": "15m", "times": 3, "sustained": "1m"}, "leave out `times`, `sustained`"),
        ({"no_traffic": "15m", "rate": {"share": 0.2, "of": 30}}, "leave out `rate`"),
        ({"no_traffic": "15m", "resolve_after": "1h"}, "leave out `resolve_after`"),
        ({"no_traffic": "0s"}, "`no_traffic` must be longer than 0"),
        ({"sustained": 0}, "`sustained` must be longer than 0"),
        ({"rate": {"share": 20, "of": 30}}, "less than or equal to 1"),
        ({"rate": {"share": 0.2, "of": 5000}}, "less than or equal to 1000"),
    ],
)
def test_what_makes_no_sense_is_refused(knobs: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        RuleSpec.model_validate({"when": WHEN, **knobs})


def test_rules_of_a_share_and_of_silence_want_every_subject() -> None:
    wanted = {"rate": {"share": 0.2, "of": 30}, "no_traffic": "15m"}
    assert all(RuleSpec.model_validate({"when": WHEN, name: knob}).needs_unmatched for name, knob in wanted.items())
    assert not RuleSpec.model_validate({"when": WHEN, "times": 3, "sustained": "5m"}).needs_unmatched
