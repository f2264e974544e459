"""Which rules a score or a span moves: by each condition, and where only an ancestor can tell, not yet. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.documents.rule import BucketIs, Condition, RuleSpec, ScorerIn, ScorerIs, ScorerValue
from schemas.rule import Evaluated, RuleCondition, RuleEvent
from schemas.score import Outcome, Score
from schemas.span import Span
from streams.logic.conditions import Observed, group_key, group_of, lacking, looks_at, passes, satisfied, verdicts_of
from streams.logic.configuration import Configuration
from streams.logic.in_effect import rules
from streams.logic.rules import RuleVersion

REASON_CHARACTERS = 300
OF_SCORES = (ScorerIs, ScorerValue, ScorerIn, BucketIs)
"""Conditions that no span satisfies by itself."""


@dataclass(frozen=True, slots=True)
class Match:
    """A subject that a rule looked at, and that satisfied it unless `evaluated` says otherwise."""

    rule: RuleVersion
    group: tuple[str, ...]
    evaluated: Evaluated
    condition: int = 0
    """Which of several that have to come together."""


@dataclass
class Index:
    """The rules of a project by what can move them: a score meets only those that name its scorer and may take its outcome."""

    by_verdict: dict[tuple[str, Outcome], list[RuleVersion]] = field(default_factory=lambda: defaultdict(list))
    of_spans: list[RuleVersion] = field(default_factory=list)
    of_spans_by_context: list[RuleVersion] = field(default_factory=list)
    """Those of spans whose filter or group asks for what a span may have from its ancestors only."""
    context: frozenset[str] = frozenset()
    """All that the filters and groups of the rules ask for of it."""


def index(configuration: Configuration, project: str, at: int) -> Index:
    """Returns the rules of a project that are in effect at a time."""
    found = Index()
    for rule in rules(configuration, project, at):
        conditions = rule.spec.when.conditions
        for verdict in {verdict for condition in conditions for verdict in _verdicts(rule.spec, condition)}:
            found.by_verdict[verdict].append(rule)
        if any(not isinstance(condition, OF_SCORES) for condition in conditions):
            found.of_spans.append(rule)
            if rule.spec.context:
                found.of_spans_by_context.append(rule)
        found.context |= set(rule.spec.context)
    return found


def _verdicts(spec: RuleSpec, condition: Condition) -> Iterable[tuple[str, Outcome]]:
    """Returns the verdicts that a rule has to see for a condition: those that may satisfy it, or all that it looks at."""
    found = tuple(verdicts_of(condition))
    if not spec.needs_unmatched:
        return found
    outcomes: tuple[Outcome, ...] = ("pass", "fail", "scored", "error")
    return [(scorer, outcome) for scorer in {scorer for scorer, _ in found} for outcome in outcomes]


def matched(
    wanted: Iterable[RuleVersion], observed: Observed, ingested_at: int, reason: str, *, settled: bool = False
) -> tuple[list[Match], list[RuleVersion]]:
    """Returns what rules a subject moves, and those of which that cannot be told without the context that it lacks.

    `settled`: it has all the context that it will ever have.
    """
    found: list[Match] = []
    undecided: list[RuleVersion] = []
    for rule in wanted:
        spec = rule.spec
        lacks = not settled and spec.context and lacking(spec.filter, spec.context, observed)
        if not lacks and not passes(spec.filter, observed):
            continue
        for number, is_match in _told(spec, observed):
            if lacks:
                undecided.append(rule)
                break
            evaluated = _evaluated(spec, observed, ingested_at, reason, is_match)
            found.append(Match(rule, group_of(spec, observed), evaluated, number))
    return found, undecided


def _told(spec: RuleSpec, observed: Observed) -> Iterator[tuple[int, bool]]:
    """Returns which conditions say something about a subject, and what; several under `any` say it together."""
    conditions = spec.when.conditions
    if spec.when.is_gathered:
        for number, condition in enumerate(conditions):
            if satisfied(condition, observed):
                yield number, True
            elif spec.needs_unmatched and looks_at(condition, observed):
                yield number, False
    elif any(satisfied(condition, observed) for condition in conditions):
        yield 0, True
    elif spec.needs_unmatched and any(looks_at(condition, observed) for condition in conditions):
        yield 0, False


def _evaluated(spec: RuleSpec, observed: Observed, ingested_at: int, reason: str, is_match: bool) -> Evaluated:  # noqa: FBT001
    of_trace = spec.per == "trace" and observed.trace_id
    return Evaluated(
        subject_kind="trace" if of_trace else observed.subject_kind if isinstance(observed, Score) else observed.kind,
        subject_id=observed.trace_id if of_trace else observed.subject_id,
        ingested_at=ingested_at,
        matched=is_match,
        value=observed.value if isinstance(observed, Score) else None,
        reason=reason[:REASON_CHARACTERS],
        trace_id=observed.trace_id,
        span_id=observed.span_id,
    )


def reason_of(observed: Score | Span) -> str:
    """Returns what an alert says about a score or span that matched."""
    if isinstance(observed, Score):
        return f"judged late: {observed.reason}" if observed.late else observed.reason
    return observed.status_message or observed.name


def condition_of(match: Match) -> RuleCondition:
    """Returns the record of one satisfied condition of several. What has no trace stands for itself."""
    rule, evaluated = match.rule, match.evaluated
    return RuleCondition(
        project=rule.project,
        trace_id=evaluated.trace_id or evaluated.subject_id,
        rule=rule.name,
        rule_version=rule.version,
        condition=match.condition,
        group=match.group,
        evaluated=evaluated,
    )


def event_of(rule: RuleVersion, group: tuple[str, ...], evaluated: Iterable[Evaluated]) -> RuleEvent:
    """Returns the rule event of subjects of one group."""
    return RuleEvent(
        project=rule.project,
        rule=rule.name,
        rule_version=rule.version,
        group=group,
        group_key=group_key(rule.spec, group),
        evaluated=tuple(evaluated),
    )
