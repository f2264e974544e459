"""The rule of the product page, in sentences: 3 failures in 5 minutes, then quiet for 30."""

import pytest

from schemas.alert import AlertChange
from schemas.codec import encode
from schemas.rule import Evaluated
from schemas.rule_state import unpack_subjects
from tests.support.counter import Counter, time


@pytest.fixture
def counter() -> Counter:
    return Counter()


def test_the_third_failure_in_five_minutes_fires(counter: Counter) -> None:
    assert [counter.push(at) for at in ("0m", "1m", "2m")] == [[], [], ["fired"]]
    (fired,) = counter.changes
    assert fired == AlertChange(
        project="p",
        rule="r",
        rule_version=counter.rule.version,
        group=("ann",),
        group_key='{"agent":"ann"}',
        alert_id=fired.firing_id,
        change=0,
        kind="fired",
        state="firing",
        severity="warning",
        firing_id=fired.firing_id,
        fired_at=time("2m"),
        changed_at=time("2m"),
        cooldown_until=time("32m"),
        subjects=3,
        matched=3,
        cause="3 in 5m, 3 are enough",
        evidence=tuple(Evaluated(subject_kind="span", subject_id=t, ingested_at=time(t)) for t in ("0m", "1m", "2m")),
        events_partition=0,
        events_offset=3,
    )


def test_the_window_is_half_open(counter: Counter) -> None:
    assert counter.push("0m", "1m", "5m") == []
    assert Counter().push("0m", "1m", "5m-1ms") == ["fired"]


def test_a_subject_counts_once_however_often_it_comes(counter: Counter) -> None:
    assert counter.push("0m", "1m") == []
    assert [counter.push("1m") for _ in range(3)] == [[], [], []]
    assert counter.push("2m", "2m") == ["fired"]
    assert counter.why == {"fired": 1, "duplicate": 1}


def test_subjects_that_did_not_match_move_nothing(counter: Counter) -> None:
    assert counter.push("0m", "1m", "2m", "3m", matched=False) == []
    assert counter.state is None


def test_a_trace_that_goes_on_for_hours_fires_only_once() -> None:
    """Its firing, and the alert that it opened, are known by the trace."""
    counter = Counter({"times": 1, "resolve_after": "1h"})
    assert counter.push("0m", subject="t") == ["fired"]
    assert counter.tick("1h") == ["resolved"]
    assert counter.push("3h") == ["fired"]
    assert counter.push("5h", subject="t") == []
    assert counter.why == {"counted": 1}
    assert counter.push("5h1m") == ["renotified"]


def test_a_late_match_fires_the_window_it_completes(counter: Counter) -> None:
    assert counter.push("0m", "2m", "9m") == []
    assert counter.push("1m", appended="9m") == ["fired"]
    assert counter.changes[0].fired_at == time("1m")


def test_a_match_older_than_watermark_within_and_lateness_is_too_late(counter: Counter) -> None:
    counter.push("20m")
    assert counter.push("5m-1ms", appended="20m") == []
    assert counter.why == {"too late": 1}
    counter.push("5m", appended="20m")
    assert counter.why == {"counted": 1}


def test_exactly_the_cooldown_later_it_fires_again(counter: Counter) -> None:
    counter.push("0m", "1m", "2m", "29m", "30m")
    assert counter.push("32m-1ms") == []
    assert counter.why == {"suppressed": 1}
    assert counter.push("32m") == ["renotified"]


def test_suppressed_matches_are_told_with_the_next_change_and_never_extend_the_cooldown(counter: Counter) -> None:
    counter.push("0m", "1m", "2m")
    counter.push("10m", "20m", "30m", "31m")
    counter.push("32m")
    counter.push("61m", "62m-1ms", "62m")
    assert list(counter.told()) == [
        "0 fired at 2m: subjects=3 matched=3 suppressed=0",
        "1 renotified at 32m: subjects=3 matched=8 suppressed=4",
        "2 renotified at 1h2m: subjects=3 matched=11 suppressed=2",
    ]
    assert [change.renotified for change in counter.changes] == [0, 1, 2]


def test_a_firing_does_not_empty_the_window() -> None:
    counter = Counter({"times": 3, "within": "5m", "cooldown": "1m"})
    counter.push("0m", "1m", "2m")
    assert counter.push("3m") == ["renotified"]
    assert counter.changes[-1].subjects == 4


def test_the_cooldown_lies_on_either_side_of_a_firing() -> None:
    counter = Counter({"times": 1, "within": "40m", "cooldown": "30m"})
    assert counter.push("40m") == ["fired"]
    assert counter.push("10m1ms", appended="40m") == []
    assert counter.push("10m", appended="40m") == ["renotified"]


def test_a_late_match_meets_the_cooldown_of_a_firing_however_long_it_is() -> None:
    counter = Counter({"times": 2, "within": "5m", "cooldown": "72h"})
    counter.push("0m", "1m")
    assert counter.push("72h10m") == []
    assert counter.push("71h58m", "71h59m", appended="72h10m") == []
    assert counter.why == {"suppressed": 2}


def test_an_alert_resolves_after_silence(counter: Counter) -> None:
    counter.push("0m", "1m", "2m", "10m")
    assert counter.tick("40m-1ms") == []
    assert counter.tick("40m") == ["resolved"]
    assert list(counter.told())[1:] == ["1 resolved at 40m: subjects=3 matched=4 suppressed=1"]
    assert counter.tick("41m") == []


def test_silence_is_what_resolve_after_says() -> None:
    counter = Counter({"times": 1, "resolve_after": "90s"})
    counter.push("0m")
    assert [counter.tick(at) for at in ("89s", "90s")] == [[], ["resolved"]]
    assert counter.changes[-1].cause == "no match for 1m30s"


def test_a_match_that_is_too_late_does_not_break_the_silence() -> None:
    counter = Counter({"times": 1, "resolve_after": "10m", "within": "1m"})
    counter.push("20m")
    counter.edit(conditions=True)
    counter.push("0m", appended="29m")
    assert counter.why == {"too late": 1}
    assert counter.tick("30m") == ["resolved"]


def test_resolving_does_not_end_the_cooldown(counter: Counter) -> None:
    counter.edit(resolve_after="1m")
    counter.push("0m", "1m", "2m")
    assert counter.tick("4m") == ["resolved"]
    assert counter.push("4m1s", "4m2s", "4m3s") == []
    assert counter.push("32m", "32m1s", "32m2s") == ["fired"]
    assert list(counter.told()) == [
        "0 fired at 2m: subjects=3 matched=3 suppressed=0",
        "1 resolved at 4m: subjects=3 matched=3 suppressed=0",
        "0 fired at 32m2s: subjects=3 matched=3 suppressed=3",
    ]
    assert len({change.alert_id for change in counter.changes}) == 2


@pytest.mark.parametrize("ended", ["deleted", "disabled"])
def test_a_rule_that_ended_resolves_its_alert_at_the_next_tick(counter: Counter, ended: str) -> None:
    counter.push("0m", "1m", "2m")
    counter.edit(enabled=ended == "deleted")
    counter.deleted = ended == "deleted"
    assert counter.tick("2m5s") == ["resolved"]
    assert counter.changes[-1].cause == f"the rule was {ended}"


def test_an_acknowledged_alert_stays_acknowledged_when_it_is_renotified(counter: Counter) -> None:
    counter.push("0m", "1m", "2m")
    assert counter.state is not None
    assert counter.state.open is not None
    acknowledged = counter.state.open.model_copy(update={"state": "acknowledged", "change": 1})
    counter.state = counter.state.model_copy(update={"open": acknowledged})
    assert counter.push("32m", "33m", "34m") == ["renotified"]
    assert [(change.change, change.state) for change in counter.changes] == [(0, "firing"), (2, "acknowledged")]


def test_an_edit_of_times_keeps_the_window(counter: Counter) -> None:
    counter.push("0m", "1m")
    counter.edit(times=4)
    assert counter.push("2m") == []
    assert counter.push("3m") == ["fired"]


def test_an_edit_of_the_conditions_clears_the_window_but_not_the_cooldown(counter: Counter) -> None:
    counter.push("0m", "1m", "2m")
    counter.edit(conditions=True)
    assert counter.push("28m", "29m", "30m") == []
    assert counter.push("33m") == ["renotified"]
    assert [change.subjects for change in counter.changes] == [3, 3]


def test_a_match_of_conditions_that_were_edited_is_stale(counter: Counter) -> None:
    old = Counter(dict(counter.knobs))
    counter.edit(conditions=True)
    counter.push("1m", "2m")
    old.state = counter.state
    assert old.push("1m30s", appended="2m") == []
    assert old.why == {"stale version": 1}
    assert old.state is counter.state


def test_a_shorter_within_lets_nothing_be_counted_twice() -> None:
    """The edit forgets what the longer window knew; the events of before it may still be handed over again."""
    counter = Counter({"times": 1, "within": "2h", "cooldown": "1m"})
    counter.push("0m", "1m")
    counter.edit(within="10s")
    counter.push("100m")
    before = counter.state
    counter.edit(within="2h")
    counter.push("1m", appended="1m")
    assert counter.why == {"too late": 1}
    assert counter.state is before


def test_an_event_met_again_tells_the_same_again_and_changes_nothing(counter: Counter) -> None:
    counter.push("0m", "1m", "2m")
    counter.push("32m", "33m", "34m")
    before = counter.state
    assert counter.push("0m", "1m", "2m") == ["fired"]
    assert counter.push("32m", "33m", "34m") == ["renotified"]
    assert counter.state is before
    assert list(map(encode, counter.changes[2:])) == list(map(encode, counter.changes[:2]))


def test_a_tick_met_again_tells_the_same_again_even_when_another_alert_is_open(counter: Counter) -> None:
    counter.edit(resolve_after="1m")
    counter.push("0m", "1m", "2m")
    counter.tick("4m")
    counter.push("32m", "33m", "34m")
    before = counter.state
    assert counter.tick("4m") == ["resolved"]
    assert counter.changes[-1] == counter.changes[1]
    counter.deleted = True
    assert counter.tick("20m") == []  # when the deletion was in effect no alert was open: the open one came later
    assert counter.state is before


def test_an_alert_is_resolved_as_it_was_told_however_long_ago(counter: Counter) -> None:
    """Its changes left the outbox long ago, and the rule groups by something else now."""
    counter.edit(resolve_after="1d", cooldown="1m")
    counter.push("0m", "1m", "2m")
    for at in ("3h", "6h"):
        counter.push(at)
    counter.edit(group_by=["customer", "session"])
    assert counter.tick("30h") == ["resolved"]
    fired, resolved = counter.changes
    assert resolved.group_key == '{"agent":"ann"}'
    assert (resolved.firing_id, resolved.subjects, resolved.matched) == (fired.firing_id, 3, 5)


def test_a_match_for_which_there_is_no_room_is_too_late_and_fires_nothing() -> None:
    counter = Counter({"times": 2, "within": "5m", "cooldown": "1s"})
    counter.push(*(f"10m{n}ms" for n in range(512)))
    assert counter.push("6m", appended="11m") == []
    assert counter.why == {"too late": 1}
    assert counter.push("6m", appended="11m") == []
    assert counter.why == {"too late": 1}


def test_a_rule_and_group_is_forgotten_three_days_after_its_last_match(counter: Counter) -> None:
    counter.push("0m")
    counter.tick("72h")
    assert counter.state is not None
    counter.tick("72h1ms")
    assert counter.state is None


def test_a_state_stays_small_however_much_matches(counter: Counter) -> None:
    counter.edit(cooldown="0s", times=1)
    for minute in range(60):
        counter.push(*(f"{minute}m{n}ms" for n in range(100)))
    assert counter.state is not None
    assert len(unpack_subjects(counter.state.subjects)) == 512
    assert len(counter.state.firings) == 512
    assert len(counter.state.outbox) <= 256
    assert len(encode(counter.state)) < 1_000_000


def test_a_state_of_a_quiet_rule_is_tiny(counter: Counter) -> None:
    for hour in range(48):
        counter.push(*(f"{hour}h{n}m" for n in range(40)))
    assert counter.state is not None
    assert len(encode(counter.state)) < 20_000
