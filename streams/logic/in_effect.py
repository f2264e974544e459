"""Documents as values: parsed once, looked up by the time at which they are in effect."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Generic, TypeVar

from schemas.documents.rule import AttributeValue, RuleSpec
from schemas.documents.scorer import ScorerSpec
from streams.logic.configuration import Configuration, Versioned
from streams.logic.rules import RuleVersion

S = TypeVar("S")
V = TypeVar("V")

_MOST = 4096


class Remembered(Generic[S]):
    """Something derived from the configuration, remembered until the configuration moves on."""

    def __init__(self, derive: Callable[[Configuration, str, int], S]) -> None:
        self._derive = derive
        self._known: dict[tuple[str, int], S] = {}
        self._of: Configuration | None = None

    def at(self, configuration: Configuration, project: str, at: int) -> S:
        """Returns what holds for a project at a time in milliseconds."""
        if configuration is not self._of:
            self._known, self._of = {}, configuration
        key = (project, configuration.epoch(at))
        if key not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = self._derive(configuration, project, at)
        return self._known[key]


Scorers = dict[str, tuple[Versioned, ScorerSpec]]


def scorers(configuration: Configuration, project: str, at: int) -> Scorers:
    """Returns the scorers in effect by name."""
    found = configuration.in_effect("Scorer", project, at)
    return {name: (version, ScorerSpec.model_validate_json(version.spec)) for name, version in found.items()}


def rules(configuration: Configuration, project: str, at: int) -> tuple[RuleVersion, ...]:
    """Returns the enabled rules in effect."""
    found = configuration.in_effect("Rule", project, at)
    all_rules = (_rule(configuration, version) for version in found.values())
    return tuple(rule for rule in all_rules if rule.spec.enabled)


def rule_at(configuration: Configuration, project: str, name: str, at: int) -> RuleVersion | None:
    """Returns a rule as in effect at a time, enabled or not; None when there was none."""
    found = configuration.at("Rule", project, name, at)
    return _rule(configuration, found) if found else None


def rule_of_command(configuration: Configuration, project: str, name: str, version: str, at: int) -> RuleVersion | None:
    """Returns the rule in effect when a command was appended; of a deleted one the version that the command names."""
    return rule_at(configuration, project, name, at) or rule_of_event(configuration, project, name, version, at)


def rule_of_event(configuration: Configuration, project: str, name: str, version: str, at: int) -> RuleVersion | None:
    """Returns the rule version that an event names, as it was in effect at the event's ingest time."""
    versions = [v for v in configuration.history("Rule", project, name) if v.version == version and not v.deleted]
    chosen = next((v for v in reversed(versions) if v.effective_at <= at), versions[0] if versions else None)
    return _rule(configuration, chosen) if chosen else None


def silent_rules(configuration: Configuration, project: str, at: int) -> tuple[RuleVersion, ...]:
    """Returns the enabled rules in effect that fire for want of traffic without having seen any: they do not group."""
    found = rules(configuration, project, at)
    return tuple(rule for rule in found if rule.spec.no_traffic and not rule.spec.group_by)


def named_attributes(configuration: Configuration, project: str, at: int) -> frozenset[str]:
    """Returns the attributes that a rule in effect names: scores carry them to the rules."""
    return frozenset(name for rule in rules(configuration, project, at) for name in _attributes(rule.spec))


def _attributes(spec: RuleSpec) -> Iterator[str]:
    yield from (name.removeprefix("attribute:") for name in spec.group_by if name.startswith("attribute:"))
    yield from (condition.attribute for condition in spec.when.conditions if isinstance(condition, AttributeValue))


@lru_cache(_MOST)
def _rule_spec(spec: bytes) -> RuleSpec:
    """Parsed once: every event and every tick asks for it."""
    return RuleSpec.model_validate_json(spec)


def _rule(configuration: Configuration, version: Versioned) -> RuleVersion:
    spec = _rule_spec(version.spec)
    since = _window_since(configuration.history("Rule", version.project, version.name), version, spec.window_version)
    return RuleVersion(version.project, version.name, version.version, spec, since, version.effective_at)


def _window_since(history: tuple[Versioned, ...], version: Versioned, window_version: str) -> int:
    """Returns when the conditions of a version took effect: edits of anything else before it do not count."""
    since = version.effective_at
    for earlier in reversed([v for v in history if v.effective_at < version.effective_at]):
        if earlier.deleted or _rule_spec(earlier.spec).window_version != window_version:
            break
        since = earlier.effective_at
    return since
