"""Subjects and their scores as they are stored, read back as the records that they were written from."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from schemas.example import Example, ScorerRef
from schemas.score import Score
from schemas.span import Span, TraceChunk
from sinks.clickhouse.client import ClickHouse

_SPAN = (
    "span_id parent_span_id name kind duration_us status status_message agent agent_version session_id customer_id environment "
    "input_tokens output_tokens cost_usd attrs tags partial revision"
)
_SCORE = (
    "project score_id scorer scorer_version subject_kind subject_id outcome trace_id span_id span_name span_kind session_id "
    "customer_id agent agent_version environment tags attributes value threshold measured label reason latency_ms attempt tries "
    "sampling_rate origin run_id"
)
_EXAMPLE = "project example_id sampling_rate trace_id span_id session_id customer_id agent agent_version environment tags origin run_id"

# ruff: noqa: S608 - what is put together here are constants; every value is bound on the server
_AT = "toUnixTimestamp64Milli(t.ingested_at)"
_SPANS = f"""
SELECT trace_id, origin, {_AT}, {", ".join(_SPAN.split())} FROM {{ours:Identifier}}.spans AS t FINAL
WHERE project = {{project:String}} AND run_id = '' AND {{column:Identifier}} = {{id:String}} ORDER BY start_time, span_id LIMIT 1000
"""
_EXAMPLES = f"""
SELECT {_AT}, scorers, fields, {", ".join(_EXAMPLE.split())} FROM {{ours:Identifier}}.examples AS t FINAL
WHERE project = {{project:String}} AND example_id = {{id:String}} ORDER BY run_id LIMIT 1
"""
_SCORES = f"""
SELECT {_AT}, toUnixTimestamp64Milli(t.ts), {", ".join(_SCORE.split())} FROM {{ours:Identifier}}.scores AS t FINAL
WHERE project = {{project:String}} AND subject_id = {{id:String}} ORDER BY scorer, t.ts
"""


def spans(clickhouse: ClickHouse, project: str, column: str, identity: str) -> Iterator[TraceChunk]:
    """Yields the spans of a trace (`column` = trace_id) or one span (`span_id`), each alone in its chunk.

    Raises:
        Transient: the server is away or overloaded.
        Permanent: it will never answer.
    """
    for trace, origin, at, *values in clickhouse.rows(_SPANS, {"project": project, "column": column, "id": identity}):
        span = Span.model_validate(dict(zip(_SPAN.split(), values, strict=True)))
        yield TraceChunk(project=project, trace_id=trace, ingested_at=at, origin=origin, spans=(span,))


def example(clickhouse: ClickHouse, project: str, identity: str) -> tuple[Example, int] | None:
    """Returns an example with its ingest time in milliseconds, None when it is not stored. Raises as `spans` does."""
    for at, scorers, fields, *values in clickhouse.rows(_EXAMPLES, {"project": project, "id": identity}):
        named = tuple(ScorerRef.model_validate(ref) for ref in orjson.loads(scorers))
        given: Mapping[str, Any] = dict(zip(_EXAMPLE.split(), values, strict=True))
        return Example.model_validate({**given, "scorers": named, "fields": fields.encode()}), at
    return None


def scores(clickhouse: ClickHouse, project: str, subject_id: str) -> list[Score]:
    """Returns the verdicts on a subject. Raises as `spans` does."""
    rows = clickhouse.rows(_SCORES, {"project": project, "id": subject_id})
    return [
        Score.model_validate({"ingested_at": at, "ts": ts, **dict(zip(_SCORE.split(), values, strict=True))})
        for at, ts, *values in rows
    ]
