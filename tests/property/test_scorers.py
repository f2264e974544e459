"""Whatever a subject holds: a scorer gives a verdict, never an exception, and its value lies between 0 and 1."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.documents.scorer import ScorerSpec
from schemas.subject import Subject
from scorers.registry import TYPES, build
from scorers.scorer import Scorer, Verdict
from tests.support.judged import example, judged, span

SETTINGS: dict[str, dict[str, Any]] = {
    "contains": {"any": ["a", "ß"]},
    "cost": {"max_usd": 1},
    "json-schema": {"schema": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^a"}}},
    "language": {"any": ["en"]},
    "latency": {"max_ms": 5},
    "not-empty": {},
    "number": {"min": 0, "path": "a[0]"},
    "pii": {},
    "refusal": {"also": ["a b"]},
    "regex": {"pattern": r"\w+"},
    "tool-error": {},
}
NOISE = st.sampled_from(
    ["I can't help with that", "4242 4242 4242 4242", "DE89 3704 0044", "+49 30", "a@b.de", "```", "{", '"', "\\u00", "\\ud800", "\\\\", "::", "1.2."]
)  # fmt: skip
TEXTS = st.lists(NOISE | st.text(max_size=20), max_size=8).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["role", "content", "parts", "type", "text", "tool_calls", "function", "arguments", "choices", "message", "messages",
             "output", "status", "error", "errors", "isError", "result", "finish_reason", "refusal", "candidates", "a"]
        ) | st.text(max_size=3),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip
DEEP = st.builds(
    lambda depth, opening, closing: opening * depth + closing * depth,
    st.integers(1, 1100),
    st.sampled_from(["[", '{"error":', '{"messages":', '[{"role":"user","content":', '{"role":"tool","content":{"text":', '{"result":']),
    st.sampled_from(["]", "}", "}]", "}}", ""]),
)  # fmt: skip
PARTS = (
    "content",
    "parts",
    "tool_calls",
    "type",
    "message",
    "finish_reason",
    "refusal",
    "function",
    "error",
    "isError",
)
MESSAGES = st.lists(st.fixed_dictionaries({"role": JSON}, optional=dict.fromkeys(PARTS, JSON)), min_size=1, max_size=3)
ENVELOPES = (
    MESSAGES
    | st.fixed_dictionaries({"choices": MESSAGES})
    | st.fixed_dictionaries({"status": JSON, "output": MESSAGES})
)
"""Lists of messages with anything in each of their places."""
SAID = TEXTS | (JSON | ENVELOPES).map(lambda value: orjson.dumps(value).decode()) | DEEP


def scorer_of(kind: str) -> Scorer:
    return build(ScorerSpec.model_validate({"type": kind, "with": SETTINGS[kind]}))


def sound(verdict: Verdict) -> bool:
    if verdict.skipped:
        return verdict.value is None and bool(verdict.reason)
    return (
        verdict.value is not None and 0 <= verdict.value <= 1 and verdict.measured is not None and bool(verdict.reason)
    )


def subjects(text: str, value: Any) -> tuple[Subject, ...]:
    return (
        span("tool", input=text, output=text, numbers={"duration_ms": 1.0, "cost_usd": 0.1}),
        example(output=text, input=text),
        example(output=value, input=value),
    )


@pytest.mark.parametrize("kind", TYPES)
@given(text=SAID, value=JSON)
async def test_any_text_and_any_json_gets_a_verdict(kind: str, text: str, value: Any) -> None:
    scorer = scorer_of(kind)
    verdicts = [await scorer.judge(subject) for subject in subjects(text, value)]
    assert all(map(sound, verdicts)), verdicts
    assert all(orjson.dumps(verdict.reason) for verdict in verdicts)


@given(cost=st.floats(0, 1e6), limit=st.floats(0, 1e6), more=st.floats(0, 1e6))
async def test_a_higher_limit_never_makes_a_span_worse(cost: float, limit: float, more: float) -> None:
    subject = span(numbers={"cost_usd": cost, "duration_ms": cost})
    for kind, key in (("cost", "max_usd"), ("latency", "max_ms")):
        low = await judged(kind, subject, **{key: limit + 1})
        high = await judged(kind, subject, **{key: limit + 1 + more})
        assert (low.value or 0) <= (high.value or 0)


@given(number=st.floats(-1e9, 1e9), low=st.floats(-1e9, 1e9), width=st.floats(0, 1e9), more=st.floats(0, 1e9))
async def test_a_wider_range_never_makes_a_number_worse(number: float, low: float, width: float, more: float) -> None:
    narrow = await judged("number", example(output=number), min=low, max=low + width)
    wide = await judged("number", example(output=number), min=low - more, max=low + width + more)
    assert (narrow.value or 0) <= (wide.value or 0)
    assert narrow.measured == wide.measured == number


@given(text=TEXTS, fewer=st.integers(1, 60), more=st.integers(0, 60))
async def test_asking_for_more_characters_never_makes_a_text_better(text: str, fewer: int, more: int) -> None:
    few = await judged("not-empty", example(output=text), min_chars=fewer)
    many = await judged("not-empty", example(output=text), min_chars=fewer + more)
    assert (many.value or 0) <= (few.value or 0)


@given(text=TEXTS, further=st.lists(st.text(min_size=2, max_size=5)))
async def test_further_phrases_never_make_an_answer_better(text: str, further: list[str]) -> None:
    known = await judged("refusal", example(output=text))
    more = await judged("refusal", example(output=text), also=further)
    assert (more.value or 0) <= (known.value or 0)


@given(text=TEXTS, kinds=st.sets(st.sampled_from(["card", "email", "iban", "ip", "phone", "ssn"]), min_size=1))
async def test_a_text_that_has_a_kind_of_personal_data_has_it_among_all_kinds_too(text: str, kinds: set[str]) -> None:
    some = await judged("pii", example(output=text), kinds=sorted(kinds))
    every = await judged("pii", example(output=text))
    assert (every.value or 0) <= (some.value or 0)


@given(text=TEXTS, further=st.lists(st.sampled_from(["de", "fr", "es", "fi"])))
async def test_wanting_further_languages_never_makes_a_text_worse(text: str, further: list[str]) -> None:
    one = await judged("language", example(output=text), any=["en"])
    several = await judged("language", example(output=text), any=["en", *further])
    assert (one.value or 0) <= (several.value or 0)
