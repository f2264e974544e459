"""Whether a rule did what it says: stored scores against rule events, their fold against alert changes, changes against deliveries. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Literal

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from streams.logic import delivery as deliveries

Check = Literal["events", "changes", "deliveries"]
Problem = Literal["missing", "extra", "different"]
Subject = tuple[str, str]
"""Kind and id."""
Change = tuple[str, int]
"""Alert id and number of the change."""


@dataclass(frozen=True)
class Finding:
    """Something that is recorded and should not be, or should be and is not."""

    check: Check
    problem: Problem
    rule: str
    group_key: str
    what: str
    detail: str


@dataclass
class Report:
    """What was compared, and what differed."""

    compared: dict[Check, int] = field(default_factory=lambda: {"events": 0, "changes": 0, "deliveries": 0})
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What could not be compared, and why."""


def events(rule: str, stored: Set[Subject], told: Set[Subject]) -> Iterator[Finding]:
    """Compares the stored subjects that match a rule with those on its rule events."""
    for kind, identity in sorted(stored - told):
        what = f"{kind} {identity}"
        yield Finding("events", "missing", rule, "", what, "it matches by what is stored; no rule event tells of it")
    for kind, identity in sorted(told - stored):
        what = f"{kind} {identity}"
        yield Finding("events", "extra", rule, "", what, "a rule event tells of it; nothing that is stored matches")


def changes(folded: Mapping[Change, AlertChange], recorded: Mapping[Change, AlertChange]) -> Iterator[Finding]:
    """Compares the changes that the fold makes with those on `vedette.alerts`."""
    for key in sorted(folded.keys() | recorded.keys()):
        made, found = folded.get(key), recorded.get(key)
        if found is None and made is not None:
            yield _about(made, "missing", "the fold of the rule events makes it; it was never told")
        elif made is None and found is not None:
            yield _about(found, "extra", "it was told; the fold of the rule events does not make it")
        elif made is not None and found is not None and made != found:
            names = [name for name in type(made).model_fields if getattr(made, name) != getattr(found, name)]
            yield _about(found, "different", f"told with other {', '.join(names)} than the fold makes")


def _about(change: AlertChange, problem: Problem, detail: str) -> Finding:
    what = f"alert {change.alert_id} change {change.change} ({change.kind})"
    return Finding("changes", problem, change.rule, change.group_key, what, detail)


def told(planned: Iterable[Delivery], ledger: Mapping[bytes, Delivery]) -> Iterator[Finding]:
    """Compares what a change should have planned with the ledger: an entry each, in whatever state."""
    for entry in planned:
        if deliveries.key(entry) not in ledger:
            yield _entry(entry, "missing", "the rule names it; the ledger has no entry")


def untold(ledger: Mapping[bytes, Delivery], known: Set[Change]) -> Iterator[Finding]:
    """Finds entries of the ledger about changes that never were."""
    for entry in ledger.values():
        if (entry.alert_id, entry.change) not in known:
            yield _entry(entry, "extra", "the ledger tells of an alert change that is not on record")


def _entry(entry: Delivery, problem: Problem, detail: str) -> Finding:
    where = f"{entry.destination} {entry.recipient}".strip()
    what = f"alert {entry.alert_id} change {entry.change} to {where}"
    return Finding("deliveries", problem, entry.rule, entry.group_key, what, detail)
