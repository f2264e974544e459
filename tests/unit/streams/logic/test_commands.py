"""What people tell an alert, in sentences."""

import pytest

from tests.support.counter import Counter, time


@pytest.fixture
def counter() -> Counter:
    """An alert that is open since noon."""
    counter = Counter({"times": 1, "cooldown": "30m", "resolve_after": "2h"})
    assert counter.push("0m") == ["fired"]
    return counter


def test_an_acknowledged_alert_stays_acknowledged_when_it_is_renotified(counter: Counter) -> None:
    counter.push("1m")
    assert counter.command("acknowledge", "2m") == ["acknowledged"]
    counter.push("3m")
    assert counter.push("30m") == ["renotified"]
    _, acknowledged, renotified = counter.changes
    assert (acknowledged.state, acknowledged.by, acknowledged.cause) == (
        "acknowledged", "ann", "acknowledged by ann",
    )  # fmt: skip
    assert (renotified.state, renotified.by, renotified.change) == ("acknowledged", "", 2)
    assert [change.suppressed for change in counter.changes] == [0, 1, 2]  # people are told with the next page


def test_a_resolved_alert_leaves_its_cooldown(counter: Counter) -> None:
    assert counter.command("resolve", "2m") == ["resolved"]
    assert counter.push("29m") == []
    assert counter.why == {"suppressed": 1}
    assert counter.push("30m") == ["fired"]
    assert counter.changes[-1].suppressed == 1
    assert len({change.alert_id for change in counter.changes}) == 2


def test_a_snooze_is_told_with_every_later_change_of_its_alert(counter: Counter) -> None:
    assert counter.command("snooze", "2m", until="1h2m") == ["snoozed"]
    counter.push("30m")
    counter.tick("5h")
    assert [(change.kind, change.state, change.until) for change in counter.changes[1:]] == [
        ("snoozed", "firing", time("1h2m")), ("renotified", "firing", time("1h2m")), ("resolved", "resolved", time("1h2m")),
    ]  # fmt: skip
    assert counter.push("6h") == ["fired"]
    assert counter.changes[-1].until == 0


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "snooze"])
def test_a_command_for_an_alert_that_is_not_open_is_refused(counter: Counter, action: str) -> None:
    assert counter.command(action, "1m", alert_id="another") == []
    assert counter.why == {"refused: not open": 1}
    counter.command("resolve", "2m")
    assert counter.command(action, "3m") == []
    assert counter.why == {"refused: not open": 1}
    nobody = Counter()
    assert nobody.command(action, "1m") == []
    assert (nobody.why, nobody.state) == ({"refused: not open": 1}, None)


def test_nobody_acknowledges_twice(counter: Counter) -> None:
    counter.command("acknowledge", "1m")
    assert counter.command("acknowledge", "2m") == []
    assert counter.why == {"refused: acknowledged before": 1}


def test_a_command_met_again_tells_the_same_again_whatever_happened_since(counter: Counter) -> None:
    counter.command("acknowledge", "1m", "first")
    counter.command("snooze", "1m", "second", until="2m")
    counter.command("resolve", "4m", "third")
    counter.push("31m")
    before, told = counter.state, counter.changes[1:4]
    for action, at, command_id in (
        ("acknowledge", "1m", "first"),
        ("snooze", "1m", "second"),
        ("resolve", "4m", "third"),
    ):
        counter.command(action, at, command_id, told[0].alert_id)
        assert counter.why == {"duplicate": 1}
    assert counter.changes[-3:] == told
    assert counter.state is before


def test_a_command_that_was_refused_is_refused_when_it_is_met_again(counter: Counter) -> None:
    counter.command("resolve", "1m", alert_id="another")
    before = counter.state
    assert counter.command("resolve", "1m", alert_id=counter.changes[0].alert_id) == []
    assert (counter.state, counter.why) == (before, {"duplicate": 1})
