"""The changes of an alert, and how a state keeps them to send them again."""

from collections.abc import Iterable
from typing import Any

import orjson

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.ids import hashed
from schemas.rule_state import Firing, OpenAlert, RuleState, Sent
from streams.logic.conditions import group_key
from streams.logic.rule_step import Position, RuleVersion

OUTBOX_KEPT_MS = 3_600_000
OUTBOX_MOST = 256


def firing_id(rule: RuleVersion, group: tuple[str, ...], trigger: str) -> str:
    """Returns the id of a firing: the same for the same conditions, group and trigger, whatever else is edited."""
    return hashed(rule.project, rule.name, rule.spec.window_version, orjson.dumps(group).decode(), trigger)


def opened(alert: OpenAlert | None, firing: Firing, severity: str, subjects: int) -> OpenAlert:
    """Returns the alert after a firing: a new one, or the open one renotified."""
    if alert is None:
        return OpenAlert(
            alert_id=firing.firing_id, state="firing", change=0, fired_at=firing.at, severity=severity, matched=subjects
        )
    more = {"change": alert.change + 1, "renotified": alert.renotified + 1, "severity": severity}
    return alert.model_copy(update=more)


def fired(
    rule: RuleVersion, group: tuple[str, ...], alert: OpenAlert, firing: Firing, at: Position, **told: Any
) -> AlertChange:
    """Returns the change that a firing makes of an alert; `told` are its counts, cause and evidence."""
    return AlertChange(
        project=rule.project,
        rule=rule.name,
        rule_version=rule.version,
        group=group,
        group_key=group_key(rule.spec, group),
        alert_id=alert.alert_id,
        change=alert.change,
        kind="renotified" if alert.change else "fired",
        state=alert.state,
        severity=alert.severity,
        firing_id=firing.firing_id,
        fired_at=alert.fired_at,
        changed_at=firing.at,
        cooldown_until=firing.at + rule.spec.cooldown,
        renotified=alert.renotified,
        matched=alert.matched,
        until=alert.until,
        events_partition=at.partition,
        events_offset=at.offset,
        **told,
    )


def moved(rule: RuleVersion | None, before: RuleState, alert: OpenAlert, at: Position, **told: Any) -> AlertChange:
    """Returns the next change of the open alert that is no firing; `told` are its kind, state and cause. `rule` is None when it is deleted."""
    newest = before.outbox[-1].change  # it stays there as long as its alert is open
    own = {
        "rule_version": rule.version if rule else newest.rule_version,
        "change": alert.change + 1,
        "changed_at": at.appended_at,
        "matched": alert.matched,
        "suppressed": before.suppressed,
        "by": "",
        "evidence": before.evidence,
        "events_partition": at.partition,
        "events_offset": at.offset,
    }
    return newest.model_copy(update={**own, **told})


def told(state: RuleState, change: AlertChange, cause: str, at: Position, **moves: Any) -> RuleState:
    """Returns the state after a change that no match made, with what else it moves."""
    outbox = (*state.outbox, Sent(cause=cause, at=at.appended_at, change=change))[-OUTBOX_MOST:]
    return state.model_copy(update={"writes": state.writes + 1, "outbox": outbox, **moves})


def sent_before(outbox: Iterable[Sent], cause: str) -> tuple[AlertChange, ...]:
    """Returns the changes that went out for a cause: met again, it sends them again byte for byte."""
    return tuple(sent.change for sent in outbox if sent.cause == cause)


def by_cause(outbox: Iterable[Sent]) -> dict[str, tuple[AlertChange, ...]]:
    """Returns the changes that went out, by what `sent_before` asks for."""
    found: dict[str, tuple[AlertChange, ...]] = {}
    for sent in outbox:
        found[sent.cause] = (*found.get(sent.cause, ()), sent.change)
    return found


def outbox_kept(outbox: list[Sent], spec: RuleSpec, now: int) -> tuple[Sent, ...]:
    """Returns the recent part of an outbox. The newest change stays, however old: what ends its alert is told like it."""
    kept_from = now - max(spec.cooldown, OUTBOX_KEPT_MS)
    kept = [sent for sent in outbox[:-1] if sent.at >= kept_from]
    return (*kept, *outbox[-1:])[-OUTBOX_MOST:]
