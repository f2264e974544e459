"""A back-test over what is stored in ClickHouse: a rule as it is written, new or edited."""

from collections.abc import Callable

import orjson

from schemas.documents.rule import RuleSpec
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.evaluations import evaluations, last_firings
from streams.history.backtest import Backtest, Group
from streams.logic.rules import RuleVersion

Progress = Callable[[int], None]
"""Told the ingest time that was reached, in milliseconds."""


def backtest(clickhouse: ClickHouse, rule: RuleVersion, since: int, until: int, progress: Progress) -> Backtest:
    """Folds everything ingested from `since` to before `until` by the rule; the windows are filled from before, the cooldowns known.

    Raises:
        Transient: the server is away or overloaded.
        Permanent: it will never answer this.
    """
    play = Backtest(rule, since, _firings(clickhouse, rule, since))
    before = since - rule.spec.within - (rule.spec.sustained or 0) - (rule.spec.no_traffic or 0)
    for block in evaluations(clickhouse, rule.project, rule.spec, before, until):
        play.take(block)
        if len(block[0]):
            progress(block[0][-1])
    play.finish(until)
    progress(until)
    return play


def _firings(clickhouse: ClickHouse, rule: RuleVersion, since: int) -> dict[Group, int]:
    found = last_firings(clickhouse, rule.project, rule.name, since - rule.spec.cooldown, since)
    return {group: at for key, at in found.items() if (group := _group(rule.spec, key)) is not None}


def _group(spec: RuleSpec, group_key: str) -> Group | None:
    """The group of a key; None when it was grouped by something else then."""
    values = orjson.loads(group_key)
    return tuple(values[name] for name in spec.group_by) if set(values) == set(spec.group_by) else None
