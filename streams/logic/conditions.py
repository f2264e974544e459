"""Which subjects match a rule, and into which group they fall."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import orjson
from typing_extensions import TypeIs

from schemas.documents.rule import AttributeValue, Condition, MetricValue, RuleSpec, ScorerIs, ScorerValue, TagIs
from schemas.documents.scorer import Filter
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


def satisfied(condition: Condition, observed: Observed) -> bool:
    """Tells whether a score, or a span's own numbers, attributes or tags, satisfy a condition."""
    match condition:
        case ScorerIs():
            return _is_score(observed, condition.scorer) and observed.outcome == _OUTCOME[condition.is_]
        case ScorerValue():
            value = observed.value if _is_score(observed, condition.scorer) else None
            return value is not None and _COMPARE[condition.op](value, condition.value)
        case MetricValue():
            number = observed.numbers.get(condition.metric) if isinstance(observed, Subject) else None
            return number is not None and _COMPARE[condition.op](number, condition.value)
        case AttributeValue():
            text = observed.attributes.get(condition.attribute) if isinstance(observed, Subject) else None
            return text is not None and _compare_text(condition, text)
        case TagIs():
            return isinstance(observed, Subject) and condition.tag in observed.tags


def verdicts_of(condition: Condition) -> Iterable[tuple[str, Outcome]]:
    """Returns the scorers and outcomes that may satisfy a condition; none when it is not about scores."""
    match condition:
        case ScorerIs():
            return ((condition.scorer, _OUTCOME[condition.is_]),)
        case ScorerValue():
            return tuple((condition.scorer, outcome) for outcome in get_args(Outcome))
        case _:
            return ()


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
    return all(getattr(observed, name) == value for name, value in wanted.given)


def matches(spec: RuleSpec, observed: Observed) -> bool:
    """Tells whether a subject matches a rule of one condition, or of `any`."""
    return any(satisfied(condition, observed) for condition in spec.when.conditions) and passes(spec.filter, observed)


def group_of(spec: RuleSpec, observed: Observed) -> tuple[str, ...]:
    """Returns the values of the rule's group_by for a subject; an absent one is the empty text."""
    known = {"agent": observed.agent, "customer": observed.customer_id, "session": observed.session_id}
    return tuple(
        known[name] if name in known else observed.attributes.get(name.removeprefix("attribute:"), "")
        for name in spec.group_by
    )


def group_key(spec: RuleSpec, group: Sequence[str]) -> str:
    """Returns the JSON object of group_by and its values with sorted keys."""
    return orjson.dumps(dict(zip(spec.group_by, group, strict=True)), option=orjson.OPT_SORT_KEYS).decode()
