"""Which subjects match a rule, and into which group they fall."""

import itertools
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import Filter
from schemas.score import Outcome, Score
from schemas.subject import Subject
from streams.logic.conditions import Observed, group_key, group_of, lacking, looks_at, matches, passes, satisfied


def a_score(scorer: str = "judge", outcome: Outcome = "fail", value: float | None = 0.2, **context: Any) -> Score:
    return Score(
        project="p",
        score_id="1",
        scorer=scorer,
        scorer_version="v",
        subject_kind="span",
        subject_id="t:s",
        outcome=outcome,
        value=value,
        ingested_at=0,
        **context,
    )


def a_span(**fields: Any) -> Subject:
    return Subject(project="p", kind="span", subject_id="t:s", **fields)


def rule(*conditions: dict[str, Any], how: str = "any", **spec: Any) -> RuleSpec:
    return RuleSpec.model_validate({"when": {how: list(conditions)}, **spec})


def holds(condition: dict[str, Any], observed: Observed) -> bool:
    """The condition as it is read from YAML, and from the canonical JSON that travels on the topic."""
    spec = rule(condition)
    again = RuleSpec.model_validate_json(spec.model_dump_json(by_alias=True))
    found = {satisfied(read.when.conditions[0], observed) for read in (spec, again)}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    ("word", "outcome"),
    [*itertools.product(["fails", "succeeds", "errors"], ["pass", "fail", "scored", "error", "skipped"])],
)
def test_a_scorer_fails_succeeds_or_errors_and_nothing_else(word: str, outcome: Outcome) -> None:
    wanted = {"fails": "fail", "succeeds": "pass", "errors": "error"}[word]
    assert holds({"scorer": "judge", "is": word}, a_score(outcome=outcome)) == (outcome == wanted)


def test_another_scorer_and_a_span_do_not_satisfy_a_scorer() -> None:
    for condition in ({"scorer": "judge", "is": "fails"}, {"scorer": "judge", "op": "<", "value": 0.5}):
        assert holds(condition, a_score())
        assert not holds(condition, a_score(scorer="other"))
        assert not holds(condition, a_span(numbers={"judge": 0.2}, attributes={"judge": "0.2"}, tags=("judge",)))


@pytest.mark.parametrize(
    ("op", "satisfied_by"),
    [("<", [1]), ("<=", [1, 2]), ("==", [2]), ("!=", [1, 3]), (">=", [2, 3]), (">", [3])],
)
def test_values_metrics_and_attributes_are_compared(op: str, satisfied_by: list[int]) -> None:
    score = {"scorer": "judge", "op": op, "value": 2}
    metric = {"metric": "duration_ms", "op": op, "value": 2}
    number = {"attribute": "retries", "op": op, "value": 2}
    text = {"attribute": "retries", "op": op, "value": "2"}
    assert [n for n in (1, 2, 3) if holds(score, a_score(value=float(n)))] == satisfied_by
    assert [n for n in (1, 2, 3) if holds(metric, a_span(numbers={"duration_ms": float(n)}))] == satisfied_by
    assert [n for n in (1, 2, 3) if holds(number, a_span(attributes={"retries": str(n)}))] == satisfied_by
    assert [n for n in (1, 2, 3) if holds(text, a_span(attributes={"retries": str(n)}))] == satisfied_by


@pytest.mark.parametrize("op", ["<", "<=", "==", "!=", ">=", ">"])
def test_what_is_absent_satisfies_nothing(op: str) -> None:
    assert not holds({"scorer": "judge", "op": op, "value": 0}, a_score(value=None))
    assert not holds({"metric": "cost_usd", "op": op, "value": 0}, a_span())
    for value in (0, "", False):
        assert not holds({"attribute": "key", "op": op, "value": value}, a_span())


def test_metrics_attributes_and_tags_are_a_spans_own() -> None:
    score = a_score(attributes={"key": "1"}, tags=("vip",))
    for condition in ({"attribute": "key", "op": "==", "value": 1}, {"tag": "vip"}):
        assert holds(condition, a_span(attributes={"key": "1"}, tags=("vip",)))
        assert not holds(condition, score)


def test_an_error_is_a_metric() -> None:
    condition = {"metric": "error", "op": "==", "value": 1}
    assert [holds(condition, a_span(numbers={"error": error})) for error in (0.0, 1.0)] == [False, True]


def test_numbers_compare_as_numbers_and_texts_as_texts() -> None:
    ten = a_span(attributes={"n": "10"})
    assert holds({"attribute": "n", "op": ">", "value": 9}, ten)
    assert not holds({"attribute": "n", "op": ">", "value": "9"}, ten)
    assert holds({"attribute": "n", "op": "==", "value": 10}, a_span(attributes={"n": "1e1"}))
    assert not holds({"attribute": "n", "op": "==", "value": "10"}, a_span(attributes={"n": "1e1"}))


@pytest.mark.parametrize("op", ["<", "<=", "==", "!=", ">=", ">"])
@pytest.mark.parametrize("text", ["", "fast", "[1]", '{"a": 1}', "1,5", "true"])
def test_what_is_no_number_satisfies_no_number(op: str, text: str) -> None:
    assert not holds({"attribute": "n", "op": op, "value": 1}, a_span(attributes={"n": text}))


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_booleans_are_spelled_as_they_please(text: str) -> None:
    span = a_span(attributes={"streaming": text})
    assert holds({"attribute": "streaming", "op": "==", "value": True}, span)
    assert holds({"attribute": "streaming", "op": "!=", "value": False}, span)
    assert not holds({"attribute": "streaming", "op": "==", "value": False}, span)


def test_a_tag_is_carried_or_not() -> None:
    assert holds({"tag": "vip"}, a_span(tags=("new", "vip")))
    assert not holds({"tag": "vip"}, a_span(tags=("vip-lounge",)))


def test_a_label_is_one_of_several_and_only_a_verdict_has_one() -> None:
    condition = {"scorer": "judge", "in": ["rude", "curt"]}
    assert holds(condition, a_score(label="curt", outcome="scored"))
    assert not holds(condition, a_score(label="kind", outcome="scored"))
    assert not holds(condition, a_score(label="curt", outcome="error"))
    assert not holds(condition, a_score("other", label="curt"))


def test_an_attribute_is_one_of_several_texts() -> None:
    condition = {"attribute": "plan", "in": ["gold", "1"]}
    assert [holds(condition, a_span(attributes={"plan": plan})) for plan in ("gold", "1", "silver")] == [
        True,
        True,
        False,
    ]
    assert not holds(condition, a_span())
    assert not holds(condition, a_score(attributes={"plan": "gold"}))


def test_nothing_is_in_a_bucket_yet() -> None:
    assert not holds({"bucket": "Angry customers"}, a_score("Angry customers", label="Angry customers"))
    assert not holds({"bucket": "Angry customers"}, a_span(tags=("Angry customers",)))


def test_a_condition_looks_at_what_it_can_tell_of() -> None:
    def looks(condition: dict[str, Any], observed: Observed) -> bool:
        return looks_at(rule(condition).when.conditions[0], observed)

    fails, errors = {"scorer": "judge", "is": "fails"}, {"scorer": "judge", "is": "errors"}
    outcomes: list[Outcome] = ["pass", "fail", "scored", "error", "skipped"]
    assert [looks(fails, a_score(outcome=outcome)) for outcome in outcomes] == [True, True, True, False, False]
    assert [looks(errors, a_score(outcome=outcome)) for outcome in outcomes] == [True, True, True, True, False]
    assert not looks(fails, a_score("other"))
    assert not looks({"scorer": "judge", "op": "<", "value": 1}, a_score(value=None))
    assert looks({"metric": "tokens", "op": ">", "value": 9}, a_span(numbers={"tokens": 1.0}))
    assert not looks({"metric": "tokens", "op": ">", "value": 9}, a_span())
    assert looks({"tag": "vip"}, a_span())
    assert not looks({"tag": "vip"}, a_score())


def test_any_of_several_conditions_is_enough() -> None:
    spec = rule({"scorer": "judge", "is": "fails"}, {"tag": "vip"}, {"metric": "tokens", "op": ">", "value": 100})
    assert matches(spec, a_score())
    assert matches(spec, a_span(tags=("vip",)))
    assert matches(spec, a_span(numbers={"tokens": 101.0}))
    assert not matches(spec, a_span(numbers={"tokens": 100.0}))
    assert not matches(spec, a_score(outcome="pass"))


def test_the_filter_holds_for_every_condition() -> None:
    conditions = [{"scorer": "judge", "is": "fails"}, {"tag": "vip"}]
    spec = rule(*conditions, filter={"agent": "ann"})
    assert matches(spec, a_score(agent="ann"))
    assert matches(spec, a_span(agent="ann", tags=("vip",)))
    assert not matches(spec, a_score())
    assert not matches(spec, a_span(agent="bob", tags=("vip",)))


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"all": [], "any": []},
        {"all": [{"tag": "a"}], "any": [{"tag": "a"}]},
        {"all": [{"tag": "a"}, {"tag": "a"}]},
        {"any": [{"scorer": "s", "in": []}]},
        {"any": [{"attribute": "key", "in": ["a"], "op": "=="}]},
        {"any": [{"bucket": "a/b"}]},
        {"any": [{"scorer": "s"}]},
        {"any": [{"scorer": "s", "is": "fails", "op": "<", "value": 1}]},
        {"any": [{"metric": "speed", "op": "<", "value": 1}]},
        {"any": [{"attribute": "key", "op": "~", "value": 1}]},
        {"any": [{}]},
    ],
)
def test_other_forms_are_refused(when: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RuleSpec.model_validate({"when": when})


CONTEXT = {
    "agent": "agent",
    "environment": "environment",
    "customer": "customer_id",
    "session": "session_id",
    "span": "span_name",
    "agent_version": "agent_version",
    "kind": "span_kind",
}
"""A filter's fields, and where a subject carries them."""

TEXTS = {name: st.sampled_from(["", "a", "b", "A"]) for name in CONTEXT} | {
    "kind": st.sampled_from(["llm", "tool", "other"])
}


@given(st.fixed_dictionaries({}, optional=TEXTS), st.fixed_dictionaries(TEXTS), st.sampled_from(["span", "score"]))
def test_a_filter_passes_exactly_what_equals_all_that_it_gives(
    wanted: dict[str, str], given_context: dict[str, str], what: Literal["span", "score"]
) -> None:
    context: dict[str, Any] = {CONTEXT[name]: value for name, value in given_context.items()}
    observed: Observed = a_span(**context) if what == "span" else a_score(**context)
    equal = [given_context[name] == value for name, value in wanted.items()]
    assert passes(Filter.model_validate(wanted), observed) == (equal.count(False) == 0)


def test_a_group_has_the_values_in_the_order_of_the_rule() -> None:
    spec = rule({"tag": "a"}, group_by=["session", "attribute:plan", "agent"])
    context: dict[str, Any] = {"agent": "ann", "session_id": "s1", "customer_id": "c1", "attributes": {"plan": "free"}}
    for observed in (a_span(**context), a_score(**context)):
        assert group_of(spec, observed) == ("s1", "free", "ann")
    assert group_key(spec, ("s1", "free", "ann")) == '{"agent":"ann","attribute:plan":"free","session":"s1"}'


def test_an_absent_value_is_the_group_of_the_empty_text() -> None:
    spec = rule({"tag": "a"}, group_by=["customer", "attribute:plan"])
    for observed in (a_span(), a_score()):
        assert group_of(spec, observed) == ("", "")
    assert group_key(spec, ("", "")) == '{"attribute:plan":"","customer":""}'


def test_a_rule_without_groups_has_one() -> None:
    spec = rule({"tag": "a"})
    assert (group_of(spec, a_span(agent="ann")), group_key(spec, ())) == ((), "{}")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2))
def test_a_group_key_tells_every_two_groups_apart(group: list[str]) -> None:
    spec = rule({"tag": "a"}, group_by=["customer", "agent"])
    assert orjson.loads(group_key(spec, group)) == {"customer": group[0], "agent": group[1]}


def test_an_attribute_named_like_a_group_is_not_the_group() -> None:
    spec = rule({"tag": "a"}, group_by=["attribute:agent", "agent"])
    assert group_of(spec, a_span(agent="ann", attributes={"agent": "other"})) == ("other", "ann")


@given(
    st.fixed_dictionaries({}, optional=TEXTS),
    st.sets(st.sampled_from(["agent", "customer", "session"]), max_size=3),
    st.fixed_dictionaries(TEXTS),
    st.fixed_dictionaries(TEXTS),
)
def test_a_span_waits_for_context_exactly_when_that_decides_its_filter_or_its_group(
    wanted: dict[str, str], groups: set[str], own: dict[str, str], ancestors: dict[str, str]
) -> None:
    spec = rule({"tag": "a"}, filter={name: value for name, value in wanted.items() if value}, group_by=sorted(groups))
    inherits = {name: value for name, value in ancestors.items() if name not in ("span", "kind") and not own[name]}

    def place(context: dict[str, str]) -> object:
        span = a_span(**{CONTEXT[name]: value for name, value in context.items()})
        return group_of(spec, span) if passes(spec.filter, span) else None

    waits = lacking(spec.filter, spec.context, a_span(**{CONTEXT[name]: value for name, value in own.items()}))
    if not waits:
        assert place({**own, **inherits}) == place(own)
    else:
        given_all = {name: spec.filter.model_dump().get(name) or "a" for name in inherits}
        assert place({**own, **given_all}) is not None


def test_a_score_of_an_example_and_a_whole_trace_have_all_their_context() -> None:
    spec = rule({"scorer": "judge", "is": "fails"}, group_by=["session"])
    assert lacking(spec.filter, spec.context, a_score()) == ("session_id",)
    for kind in ("example", "trace"):
        assert lacking(spec.filter, spec.context, a_score().model_copy(update={"subject_kind": kind})) == ()
