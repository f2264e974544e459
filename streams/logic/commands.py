"""What a person told an alert, folded like everything else: acknowledge, resolve, snooze."""

from typing import Any

from schemas.rule import Command
from schemas.rule_state import OpenAlert, RuleState
from streams.logic import alert_changes
from streams.logic.rule_step import Position, RuleVersion, Step


def step(rule: RuleVersion, state: RuleState | None, command: Command, at: Position) -> Step:
    """Folds a command once, by its id; one for an alert that is not open changes no alert and says so in `why`.

    Resolving does not end the cooldown. A snooze is a change like the others; who is told what until it ends is decided where people are told.
    """
    if state is None:
        return Step(None, (), {"refused: not open": 1})
    cause = f"command:{command.command_id}"
    again = alert_changes.sent_before(state.outbox, cause)
    if again or _known(state, command, at):
        return Step(state, again, {"duplicate": 1})
    noted = _noted(state, command, at)
    reason = refused(state.open, command)
    if reason or state.open is None:
        return Step(noted.model_copy(update={"writes": state.writes + 1}), (), {f"refused: {reason}": 1})
    told = _told(state.open, command)
    change = alert_changes.moved(rule, state, state.open, at, **told)
    return Step(
        alert_changes.told(noted, change, cause, at, **_moves(state.open, command)), (change,), {told["kind"]: 1}
    )


def refused(alert: OpenAlert | None, command: Command) -> str:
    """Returns why a command does nothing to the open alert, or nothing."""
    if alert is None or alert.alert_id != command.alert_id:
        return "not open"
    if command.action == "acknowledge" and alert.state == "acknowledged":
        return "acknowledged before"
    return ""


def _known(state: RuleState, command: Command, at: Position) -> bool:
    """One that is older than the newest was folded before it; of the same millisecond several are known by id."""
    if at.appended_at == state.commanded_at:
        return command.command_id in state.commands
    return at.appended_at < state.commanded_at


def _noted(state: RuleState, command: Command, at: Position) -> RuleState:
    others = state.commands if at.appended_at == state.commanded_at else ()
    return state.model_copy(update={"commanded_at": at.appended_at, "commands": (*others, command.command_id)})


def _told(alert: OpenAlert, command: Command) -> dict[str, Any]:
    kind, state = {
        "acknowledge": ("acknowledged", "acknowledged"),
        "resolve": ("resolved", "resolved"),
        "snooze": ("snoozed", alert.state),
    }[command.action]
    cause = command.note or f"{kind} by {command.by or 'a person'}"
    until = command.until if command.action == "snooze" else alert.until
    return {"kind": kind, "state": state, "cause": cause, "by": command.by, "until": until}


def _moves(alert: OpenAlert, command: Command) -> dict[str, Any]:
    """What of the state moves: only a resolved alert tells for good what was kept quiet."""
    after = {"change": alert.change + 1}
    match command.action:
        case "acknowledge":
            return {"open": alert.model_copy(update={**after, "state": "acknowledged"})}
        case "snooze":
            return {"open": alert.model_copy(update={**after, "until": command.until})}
        case "resolve":
            return {"open": None, "suppressed": 0}
