"""Evaluations inside spans: verdicts that came with a span, and scorers that its program asks for, become examples.

* The span event `gen_ai.evaluation.result` of OpenTelemetry's GenAI conventions is a verdict made elsewhere.
* judgeval's attribute `judgment.pending_trace_eval` asks for scorers: of the span (one object, 0.x) or of examples (an array, 1.x).
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from schemas.example import Example, GivenVerdict, ScorerRef
from schemas.ids import hashed, span_subject_id
from schemas.otlp.cut import cut_text
from schemas.otlp.guard import NAME_LIMIT
from schemas.otlp.mask import MASK
from schemas.otlp.tables import amount
from schemas.span import Span, TraceChunk

RESULT = "gen_ai.evaluation.result"
PENDING = "judgment.pending_trace_eval"

MAX_ASKED = 100
"""examples that one span may ask for; the ones after are left out"""

_OWN = re.compile(r'("(?:judgment_api_key|organization_id)"\s*:\s*")(?:[^"\\]|\\.)*"')
"""what judgeval 0.x puts into the configuration of a prompt scorer"""

_NO_FIELDS = frozenset(("example_id", "created_at", "trace_id", "span_id"))
"""what judgeval 1.x puts beside the fields of an example"""


def without_credentials(asked: str) -> str:
    """Returns what `judgment.pending_trace_eval` says without the sender's key and organization."""
    return _OWN.sub(rf'\1{MASK}"', asked)


def examples_of(chunk: TraceChunk) -> Iterator[Example]:
    """Yields the examples that the spans of a chunk bring along; their ids are the same whenever a span is sent again.

    Spans that have not ended bring none, and JSON that is none, or was cut, asks for nothing.
    """
    for span in chunk.spans:
        if span.partial:
            continue
        if RESULT in span.events:
            verdicts = _verdicts(span)
            if verdicts:
                yield _example(chunk, span, "evaluation", _fields(span), verdicts=verdicts)
        if PENDING in span.attrs:
            yield from islice(_asked(chunk, span), MAX_ASKED)


def _verdicts(span: Span) -> tuple[GivenVerdict, ...]:
    """The last of one name stands."""
    found: dict[str, GivenVerdict] = {}
    for event in _objects(span.events):
        told = event.get("attributes")
        if event.get("name") == RESULT and isinstance(told, dict) and _name(told, "gen_ai.evaluation.name"):
            verdict = GivenVerdict(
                scorer=_name(told, "gen_ai.evaluation.name"),
                value=amount(told.get("gen_ai.evaluation.score.value")),
                label=_name(told, "gen_ai.evaluation.score.label"),
                reason=_text(told.get("gen_ai.evaluation.explanation")),
                error=_name(told, "error.type"),
            )
            found[verdict.scorer] = verdict
    return tuple(found.values())


def _asked(chunk: TraceChunk, span: Span) -> Iterator[Example]:
    for run in _objects(span.attrs[PENDING]):
        scorers = tuple(scorers_asked(run))
        if not scorers:
            continue
        name = _name(run, "id") or _name(run, "eval_name")
        examples = run.get("examples")
        if not isinstance(examples, list):
            yield _example(chunk, span, name, _fields(span), scorers=scorers)
            continue
        for place, told in enumerate(example for example in examples if isinstance(example, dict)):
            fields = {key: value for key, value in told.items() if key not in _NO_FIELDS}
            own = _name(told, "example_id")
            yield _example(chunk, span, f"{name} {place}", orjson.dumps(fields), scorers=scorers, own_id=own)


def scorers_asked(run: dict[str, Any]) -> Iterator[ScorerRef]:
    """Yields the scorers that one of judgeval's evaluation runs names; a built-in of its own has no name: its type is its name."""
    for kind in ("judges", "custom_scorers", "judgment_scorers"):
        told = run.get(kind)
        for scorer in told if isinstance(told, list) else ():
            name = (_name(scorer, "name") or _name(scorer, "score_type")) if isinstance(scorer, dict) else ""
            if name:
                model = _name(scorer, "model") or _name(run, "model")
                threshold = 1.0 if scorer.get("strict_mode") is True else amount(scorer.get("threshold"))
                yield ScorerRef(scorer=name, threshold=threshold, model=model)


def _example(
    chunk: TraceChunk,
    span: Span,
    name: str,
    fields: bytes,
    verdicts: tuple[GivenVerdict, ...] = (),
    scorers: tuple[ScorerRef, ...] = (),
    own_id: str = "",
) -> Example:
    subject = span_subject_id(chunk.trace_id, span.span_id)
    return Example(
        project=chunk.project,
        example_id=own_id or hashed(chunk.project, subject, name),
        fields=fields,
        scorers=scorers,
        verdicts=verdicts,
        trace_id=chunk.trace_id,
        span_id=span.span_id,
        session_id=span.session_id,
        customer_id=span.customer_id,
        agent=span.agent,
        agent_version=span.agent_version,
        environment=span.environment,
        tags=span.tags,
        origin=chunk.origin,
        run_id=chunk.run_id,
    )


def _fields(span: Span) -> bytes:
    return orjson.dumps(
        {name: text for name, text in (("input", span.input), ("output", span.output)) if text is not None}
    )


def _objects(text: str) -> list[dict[str, Any]]:
    """The objects of a JSON array, or the one object that it is."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _name(told: dict[str, Any], key: str) -> str:
    value = told.get(key)
    return cut_text(value, NAME_LIMIT)[0] if isinstance(value, str) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
