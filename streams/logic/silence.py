"""What ends or begins by silence, on ticks: alerts that resolve, `no_traffic`, groups that are forgotten.

Silence is measured in append times of the counter's own input; a tick tells the time.
"""

from typing import NamedTuple

from schemas.documents.base import format_duration
from schemas.rule import RuleEvent
from schemas.rule_state import Firing, RuleState
from streams.logic import alert_changes
from streams.logic.fold import FIRINGS_KEPT_MS
from streams.logic.rule_step import Position, RuleVersion, Step

NEVER = 2**63 - 1
FIRINGS_MOST = 512


class Quiet(NamedTuple):
    """What of a state decides when a tick moves it."""

    open: bool
    matched_at: int
    folded_at: int
    """Append time of the newest event or tick that changed something."""
    fired_at: int


def quiet(state: RuleState) -> Quiet:
    """Returns what of a state decides when a tick moves it."""
    fired_at = max((firing.at for firing in state.firings), default=0)
    folded_at = max(state.matched_at, state.heard_at, state.ticked_at)
    return Quiet(state.open is not None, state.matched_at, folded_at, fired_at)


def ticks_told(state: RuleState) -> list[int]:
    """Returns the append times of the ticks that caused what the state may have to send again."""
    return [sent.at for sent in state.outbox if sent.cause == _cause(sent.at)]


def _cause(ticked_at: int) -> str:
    return f"tick:{ticked_at}"


def due_at(rule: RuleVersion | None, state: Quiet) -> int:
    """Returns the first append time at which a tick moves a state, as its rule is now; None is a deleted one."""
    if state.open:
        if rule is None or not rule.spec.enabled:
            return 0
        return NEVER if rule.spec.no_traffic else state.matched_at + rule.spec.resolve_after_ms
    if rule and rule.spec.enabled and rule.spec.no_traffic:
        since = _silent_since(rule, state)
        if state.fired_at <= since:
            return max(since + rule.spec.no_traffic, state.fired_at + rule.spec.cooldown if state.fired_at else 0)
        if not rule.spec.group_by:
            return NEVER  # its one group needs no subject to be known: forgotten, it would be told of again
    remembered = max(FIRINGS_KEPT_MS, rule.spec.cooldown + alert_changes.OUTBOX_KEPT_MS if rule else 0)
    return state.folded_at + remembered + 1


def _silent_since(rule: RuleVersion, state: Quiet) -> int:
    return max(state.matched_at, rule.effective_at)


def tick(rule: RuleVersion | None, state: RuleState, at: Position) -> Step:
    """Resolves the open alert when its time has come, fires for want of traffic, forgets what nothing depends on any more."""
    cause, known = _cause(at.appended_at), quiet(state)
    if at.appended_at <= max(state.ticked_at, state.matched_at):
        return Step(state, alert_changes.sent_before(state.outbox, cause), {"duplicate": 1})
    if at.appended_at < due_at(rule, known):
        return Step(state, (), {})
    if state.open:
        change = alert_changes.moved(rule, state, state.open, at, **_resolved(_over(rule)))
        moves = {"open": None, "suppressed": 0, "ticked_at": at.appended_at}
        return Step(alert_changes.told(state, change, cause, at, **moves), (change,), {"resolved": 1})
    if rule and rule.spec.enabled and rule.spec.no_traffic and known.fired_at <= _silent_since(rule, known):
        return _fired(rule, state, at, cause)
    return Step(None, (), {"forgotten": 1})


def _over(rule: RuleVersion | None) -> str:
    if rule is None:
        return "the rule was deleted"
    if not rule.spec.enabled:
        return "the rule was disabled"
    silence = format_duration(rule.spec.resolve_after_ms)
    return f"below the share for {silence}" if rule.spec.rate else f"no match for {silence}"


def _resolved(cause: str) -> dict[str, str]:
    return {"kind": "resolved", "state": "resolved", "cause": cause}


def _fired(rule: RuleVersion, state: RuleState, at: Position, cause: str) -> Step:
    since, spec = _silent_since(rule, quiet(state)), rule.spec
    firing = Firing(at=at.appended_at, firing_id=alert_changes.firing_id(rule, state.group, f"silence:{since}"))
    alert = alert_changes.opened(None, firing, spec.severity, 0)
    why = f"nothing was evaluated for {format_duration(at.appended_at - since)}, {format_duration(spec.no_traffic or 0)} is enough"
    change = alert_changes.fired(rule, state.group, alert, firing, at, cause=why)
    moves = {"open": alert, "firings": (*state.firings, firing)[-FIRINGS_MOST:], "ticked_at": at.appended_at}
    return Step(alert_changes.told(state, change, cause, at, **moves), (change,), {"fired": 1})


def traffic(rule: RuleVersion, state: RuleState | None, event: RuleEvent, at: Position) -> Step:
    """Notes that subjects were evaluated for a rule with `no_traffic`: that resolves its alert."""
    before, number = state or RuleState(window_since=rule.window_since), len(event.evaluated)
    cause = f"traffic:{at.appended_at}"
    if at.appended_at <= before.matched_at:
        return Step(state, alert_changes.sent_before(before.outbox, cause), {"duplicate": number})
    moves = {"matched_at": at.appended_at, "group": event.group}
    if before.open is None:
        outbox = alert_changes.outbox_kept(list(before.outbox), rule.spec, at.appended_at)
        new = {**moves, "writes": before.writes + 1, "outbox": outbox}
        return Step(before.model_copy(update=new), (), {"evaluated": number})
    change = alert_changes.moved(rule, before, before.open, at, **_resolved("traffic returned"))
    after = alert_changes.told(before, change, cause, at, open=None, suppressed=0, **moves)
    return Step(after, (change,), {"evaluated": number, "resolved": 1})
