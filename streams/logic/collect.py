"""Gathers the conditions of rules that want several over one trace: a fold over `vedette.rule-conditions`.

It is monotone: whatever the order in which they come, a trace matches when the last of them is there, once. Time is the append time of what
is read, in milliseconds.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.rule import Evaluated, RuleCondition
from streams.logic.matching import REASON_CHARACTERS, Match
from streams.logic.rules import RuleVersion

MOST_ENTRIES = 50_000
"""Rules and traces of one partition that something is kept of."""

Key = tuple[str, str, str, str]
"""Project, rule, version of its conditions, trace."""
AtTime = Callable[[int], RuleVersion | None]
"""The rule that is in effect at an ingest time."""


@dataclass
class Gathered:
    """What a trace has satisfied of a rule so far."""

    since: int
    """Offset of the first record that told of it."""
    until: int
    version: str
    """Of the rule's conditions."""
    wanted: int
    conditions: dict[int, RuleCondition] = field(default_factory=dict)
    told: bool | None = None
    """Whether it was told as a match, or as none; None: not yet."""


@dataclass
class Collect:
    """The conditions of one partition, each kept for `kept_ms` after the first of its trace and rule."""

    kept_ms: int
    most_entries: int = MOST_ENTRIES
    counted: Counter[str] = field(default_factory=Counter)
    """What became of traces since the caller last looked."""

    def __post_init__(self) -> None:
        self._entries: OrderedDict[Key, Gathered] = OrderedDict()
        self._now = 0

    def __len__(self) -> int:
        """Returns the number of traces and rules of which something is kept."""
        return len(self._entries)

    @property
    def since(self) -> int | None:
        """The offset from which the log has to be read to know again what is known now; None: from here on."""
        return next(iter(self._entries.values())).since if self._entries else None

    def take(self, condition: RuleCondition, rule: RuleVersion, at_time: AtTime, now: int, offset: int) -> Match | None:
        """Folds one condition in and returns the match of its trace when it is the last.

        `rule` is the version that the condition was told by. Conditions told by versions whose `when`, filter or groups
        differ never come together.
        """
        self.pass_time(now)
        key = (condition.project, condition.rule, rule.spec.window_version, condition.trace_id)
        entry = self._entries.get(key)
        if entry is None:
            wanted = len(rule.spec.when.conditions)
            entry = self._entries[key] = Gathered(offset, self._now + self.kept_ms, key[2], wanted)
            self._relieve()
        known = entry.conditions.get(condition.condition)
        entry.conditions[condition.condition] = condition if known is None else min(known, condition, key=_order)
        return self._told(entry, at_time)

    def pass_time(self, now: int) -> None:
        """Forgets what was kept long enough."""
        self._now = max(self._now, now)
        while self._entries and next(iter(self._entries.values())).until <= self._now:
            self._forget("conditions that stayed alone")

    def _told(self, entry: Gathered, at_time: AtTime) -> Match | None:
        conditions = entry.conditions
        is_match = all(one.evaluated.matched for one in conditions.values())
        if len(conditions) < entry.wanted or entry.told or entry.told is is_match:
            return None
        entry.told = is_match
        newest = max(one.evaluated.ingested_at for one in conditions.values())
        rule = at_time(newest)
        if rule is None or not rule.spec.enabled or rule.spec.window_version != entry.version:
            self.counted["rule changed"] += 1
            return None
        self.counted["gathered"] += is_match
        return Match(rule, conditions[0].group, _together(conditions, newest, is_match=is_match))

    def _relieve(self) -> None:
        while len(self._entries) > self.most_entries:
            self._forget("too many conditions")

    def _forget(self, why: str) -> None:
        _, entry = self._entries.popitem(last=False)
        self.counted[why] += entry.told is None


def _order(condition: RuleCondition) -> tuple[bool, int, str, str]:
    """Of two subjects that tell of one condition that which satisfies it, then the earlier; the same one whatever came first."""
    evaluated = condition.evaluated
    return not evaluated.matched, evaluated.ingested_at, evaluated.subject_id, evaluated.span_id


def _together(conditions: Mapping[int, RuleCondition], newest: int, *, is_match: bool) -> Evaluated:
    """The trace as one subject, with what each condition's subject says, in document order."""
    first = conditions[0].evaluated
    reasons = dict.fromkeys(conditions[number].evaluated.reason for number in sorted(conditions))
    values = (conditions[number].evaluated.value for number in sorted(conditions))
    return first.model_copy(
        update={
            "subject_kind": "trace" if first.trace_id else first.subject_kind,
            "subject_id": first.trace_id or first.subject_id,
            "ingested_at": newest,
            "matched": is_match,
            "value": next((value for value in values if value is not None), None),
            "reason": "; ".join(filter(None, reasons))[:REASON_CHARACTERS],
        }
    )
