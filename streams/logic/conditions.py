"""Which subjects match a rule, and into which group they fall."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import orjson
from typing_extensions import TypeIs

from schemas.documents.rule import (
    GROUPS,
    AttributeIn,
    AttributeValue,
    BucketIs,
    Condition,
    MetricValue,
    RuleSpec,
    ScorerIn,
    ScorerIs,
    ScorerValue,
    TagIs,
)
from schemas.documents.scorer import CONTEXT, Filter
from schemas.score import Outcome, Score
from schemas.subject import Subject

Observed = Score | Subject
"""A score, or a span with its own numbers, attributes and tags."""

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_OUTCOME: Mapping[str, Outcome] = {"fails": "fail", "succeeds": "pass", "errors": "error"}
_JUDGED: tuple[Outcome, ...] = ("pass", "fail", "scored")


def satisfied(condition: Condition, observed: Observed) -> bool:
    """Tells whether a score, or a span's own numbers, attributes or tags, satisfy a condition."""
    match condition:
        case ScorerIs():
            return _is_score(observed, condition.scorer) and observed.outcome == _OUTCOME[condition.is_]
        case ScorerValue():
            value = observed.value if _is_score(observed, condition.scorer) else None
            return value is not None and _COMPARE[condition.op](value, condition.value)
        case ScorerIn():
            return (
                _is_score(observed, condition.scorer)
                and observed.outcome in _JUDGED
                and observed.label in condition.in_
            )
        case MetricValue():
            number = observed.numbers.get(condition.metric) if isinstance(observed, Subject) else None
            return number is not None and _COMPARE[condition.op](number, condition.value)
        case AttributeValue():
            text = observed.attributes.get(condition.attribute) if isinstance(observed, Subject) else None
            return text is not None and _compare_text(condition, text)
        case AttributeIn():
            return isinstance(observed, Subject) and observed.attributes.get(condition.attribute) in condition.in_
        case BucketIs():
            return False
        case TagIs():
            return isinstance(observed, Subject) and condition.tag in observed.tags


def verdicts_of(condition: Condition) -> Iterable[tuple[str, Outcome]]:
    """Returns the scorers and outcomes that may satisfy a condition; none when it is not about scores."""
    match condition:
        case ScorerIs():
            return ((condition.scorer, _OUTCOME[condition.is_]),)
        case ScorerValue():
            return tuple((condition.scorer, outcome) for outcome in get_args(Outcome))
        case ScorerIn():
            return tuple((condition.scorer, outcome) for outcome in _JUDGED)
        case _:
            return ()


def looks_at(condition: Condition, observed: Observed) -> bool:
    """Tells whether a condition can be told of a subject: whether it counts there, satisfied or not.

    A scorer that could not judge says nothing, unless the condition is about its errors.
    """
    match condition:
        case ScorerIs():
            outcomes = (*_JUDGED, "error") if condition.is_ == "errors" else _JUDGED
            return _is_score(observed, condition.scorer) and observed.outcome in outcomes
        case ScorerValue():
            return _is_score(observed, condition.scorer) and observed.value is not None
        case ScorerIn():
            return _is_score(observed, condition.scorer) and observed.outcome in _JUDGED
        case MetricValue():
            return isinstance(observed, Subject) and condition.metric in observed.numbers
        case BucketIs():
            return False
        case _:
            return isinstance(observed, Subject)


def _is_score(observed: Observed, scorer: str) -> TypeIs[Score]:
    return isinstance(observed, Score) and observed.scorer == scorer


def _compare_text(condition: AttributeValue, text: str) -> bool:
    if isinstance(condition.value, bool):
        return _COMPARE[condition.op](text.lower(), str(condition.value).lower())
    if isinstance(condition.value, str):
        return _COMPARE[condition.op](text, condition.value)
    try:
        return _COMPARE[condition.op](float(text), float(condition.value))
    except ValueError:
        return False


def passes(wanted: Filter, observed: Observed) -> bool:
    """Tells whether a subject passes a filter: every field that is given must be equal."""
    for name, value in wanted.given:  # a loop, since this is asked of every subject and rule  # noqa: SIM110
        if getattr(observed, name) != value:
            return False
    return True


def lacking(wanted: Filter, context: Sequence[str], observed: Observed) -> tuple[str, ...]:
    """Returns the fields that a span lacks and its ancestors may supply, before it is told whether, or in which group, it passes.

    `context` are the fields that are asked for. Nothing is lacking where the filter fails whatever they are. What is no
    span has all the context that it will ever have.
    """
    absent = [name for name in context if not getattr(observed, name)]
    if not absent or (observed.subject_kind if isinstance(observed, Score) else observed.kind) != "span":
        return ()
    for name, value in wanted.given:
        has = getattr(observed, name)
        if has != value and (has or name not in CONTEXT):
            return ()
    return tuple(absent)


def matches(spec: RuleSpec, observed: Observed) -> bool:
    """Tells whether a subject matches a rule of one condition, or of `any`."""
    return any(satisfied(condition, observed) for condition in spec.when.conditions) and passes(spec.filter, observed)


def group_of(spec: RuleSpec, observed: Observed) -> tuple[str, ...]:
    """Returns the values of the rule's group_by for a subject; an absent one is the empty text."""
    return tuple(
        getattr(observed, GROUPS[name])
        if name in GROUPS
        else observed.attributes.get(name.removeprefix("attribute:"), "")
        for name in spec.group_by
    )


def group_key(spec: RuleSpec, group: Sequence[str]) -> str:
    """Returns the JSON object of group_by and its values with sorted keys."""
    return orjson.dumps(dict(zip(spec.group_by, group, strict=True)), option=orjson.OPT_SORT_KEYS).decode()
