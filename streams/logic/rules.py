"""Rules as a fold: evaluated subjects, commands and ticks in, alert changes out.

The live counter, tests, back-tests and audits call the same `step` and `tick`. Times are milliseconds since the epoch.
"""

from schemas.rule import RuleEvent
from schemas.rule_state import RuleState
from streams.logic import commands, fold, silence
from streams.logic.rule_step import Position, RuleVersion, Step

__all__ = ["Position", "RuleVersion", "Step", "step", "tick"]


def step(rule: RuleVersion, state: RuleState | None, event: RuleEvent, at: Position) -> Step:
    """Folds one event, subjects or a command, into the state of its rule and group.

    An event that was folded before changes nothing and returns the changes that it caused again, byte for byte. `rule` is the version
    that the subjects were evaluated by; of a command the one in effect when it was appended.
    """
    if event.command is not None:
        return commands.step(rule, state, event.command, at)
    if rule.spec.no_traffic is not None:
        return silence.traffic(rule, state, event, at)
    return fold.step(rule, state, event, at)


def tick(rule: RuleVersion | None, state: RuleState, at: Position) -> Step:
    """Ends by silence, or begins by it: resolves the open alert when its time has come, fires for want of traffic, forgets idle groups.

    `rule` is the version in effect at the tick, None when the rule is deleted. A tick that is not newer than all that
    the state has folded was met before: it changes nothing and returns again what it caused.
    """
    return silence.tick(rule, state, at)
