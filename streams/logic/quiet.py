"""When people are not to be told although a rule fired, and until when: snooze, silences, inhibition, schedules.

The fold knows nothing of this: an alert is the same whether anybody hears of it. Times are milliseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.documents.silence import SilenceSpec


@dataclass(frozen=True)
class Quiet:
    """Why an alert is not told now. The reason stays the same as long as the cause does."""

    reason: str
    until: int = 0
    """When it ends, if that is known."""


SNOOZED = Quiet("the alert is snoozed")


@dataclass(frozen=True)
class Surroundings:
    """What a project's configuration and its other alerts say at the moment of telling."""

    silences: Mapping[str, SilenceSpec] = field(default_factory=dict)
    rules: Mapping[str, RuleSpec] = field(default_factory=dict)
    """By name, the newest ones."""
    open: Sequence[AlertChange] = ()
    """The newest change of every alert that is not resolved."""


def quiet(
    change: AlertChange, destination: str, around: Surroundings, now_ms: int, newest: AlertChange | None = None
) -> Quiet | None:
    """Returns what keeps a destination from being told that an alert fires, or None. `newest` is its alert's newest change, if it is known."""
    return (
        _snoozed(newest if newest and newest.change > change.change else change, now_ms)
        or _silenced(change, destination, around.silences, now_ms)
        or _inhibited(change, around)
        or _closed(around.rules.get(change.rule), now_ms)
    )


def inhibiting(rules: Mapping[str, RuleSpec], rule: str) -> frozenset[str]:
    """Returns the rules whose open alerts keep a rule quiet."""
    return frozenset(name for name, spec in rules.items() if rule in spec.inhibits and name != rule)


def same_group(one: str, other: str) -> bool:
    """Tells whether two group keys agree in what both group by; rules that share nothing agree.

    >>> same_group('{"agent":"a","customer":"c"}', '{"agent":"a"}')
    True
    """
    left, right = orjson.loads(one), orjson.loads(other)
    return all(left[name] == right[name] for name in left.keys() & right.keys())


def _snoozed(newest: AlertChange, now_ms: int) -> Quiet | None:
    if newest.until <= now_ms:
        return None
    return replace(SNOOZED, until=newest.until)


def _silenced(change: AlertChange, destination: str, silences: Mapping[str, SilenceSpec], now_ms: int) -> Quiet | None:
    holding = [(spec.ends_ms, name) for name, spec in silences.items() if _matches(spec, change, destination, now_ms)]
    if not holding:
        return None
    ends, name = max(holding)
    return Quiet(f"silence {name!r} until {silences[name].ends.isoformat()}: {silences[name].reason}", ends)


def _matches(spec: SilenceSpec, change: AlertChange, destination: str, now_ms: int) -> bool:
    group = orjson.loads(change.group_key)
    return (
        spec.holds(now_ms)
        and spec.rule in (None, change.rule)
        and spec.severity in (None, change.severity)
        and spec.destination in (None, destination)
        and all(group.get(name) == value for name, value in spec.group.items())
    )


def _inhibited(change: AlertChange, around: Surroundings) -> Quiet | None:
    """Of two rules that inhibit each other the alert that opened first is told: never are both quiet."""
    rules = inhibiting(around.rules, change.rule)
    if not rules:
        return None
    mutual = around.rules[change.rule].inhibits if change.rule in around.rules else ()
    holding = [
        one.rule
        for one in around.open
        if one.rule in rules
        and same_group(one.group_key, change.group_key)
        and (one.rule not in mutual or (one.fired_at, one.alert_id) < (change.fired_at, change.alert_id))
    ]
    return Quiet(f"an alert of rule {min(holding)!r} is open") if holding else None


def _closed(spec: RuleSpec | None, now_ms: int) -> Quiet | None:
    if spec is None or spec.schedule is None:
        return None
    opens = spec.schedule.opens_at(now_ms)
    return None if opens <= now_ms else Quiet(f"outside the rule's schedule, {spec.schedule}", opens)
