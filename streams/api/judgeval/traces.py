"""Evaluations of spans that are stored already: each becomes an example of its input and output, with the scorers that were asked for."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any
from urllib.parse import unquote

import orjson
from pydantic import Field, TypeAdapter

from schemas.example import Example, ScorerRef
from schemas.ids import example_id, record_key
from schemas.otlp.evaluations import scorers_asked
from schemas.topics import Topic
from sinks.clickhouse import client
from sinks.sink import Permanent, Transient
from streams.api.app import Call
from streams.api.errors import Refused
from streams.api.judgeval.wire import Told, project_of
from streams.records import Out
from streams.settings import Settings

STORED_WITHIN_S = 15.0
"""A span that was sent a moment ago is waited for."""

SPANS = """
SELECT trace_id, span_id, input, output, agent, agent_version, session_id, customer_id, environment, tags
FROM {ours:Identifier}.spans FINAL
WHERE project = {project:String} AND run_id = '' AND trace_id IN {traces:Array(String)} AND NOT partial
  AND concat(trace_id, ':', span_id) IN {spans:Array(String)}
"""
Row = Sequence[Any]


class Run(Told):
    """One of judgeval's evaluations of spans; its scorers are read from the body as it came."""

    id: str = Field(min_length=1, max_length=200)
    project_name: str = ""
    project_id: str = ""
    trace_and_span_ids: list[tuple[str, str]] = Field(min_length=1, max_length=100)


RUN = TypeAdapter(Run)


async def queue(call: Call) -> Any:
    """Asks for verdicts on spans, and answers when Kafka has it."""
    run: Run = call.read(RUN)
    project = project_of(call, run.project_name or unquote(run.project_id))
    scorers = tuple(scorers_asked(orjson.loads(call.body)))
    if not scorers:
        raise Refused(400, "invalid_body", "it names no scorer: judgment_scorers and custom_scorers are empty")
    asked = [f"{trace.lower()}:{span.lower()}" for trace, span in run.trace_and_span_ids]
    rows = await _stored(call.services.settings, project, asked)
    examples = [_example(project, run, place, rows[one], scorers) for place, one in enumerate(asked)]
    await asyncio.to_thread(call.services.records.append, [_out(one) for one in examples])
    return {"success": True, "status": "success", "message": f"{len(examples)} spans queued in project {project}"}


async def _stored(settings: Settings, project: str, asked: Sequence[str]) -> dict[str, Row]:
    end = time.monotonic() + STORED_WITHIN_S
    while True:
        try:
            rows = await asyncio.to_thread(_rows, settings, project, asked)
        except (Transient, Permanent) as error:
            raise Refused(503, "clickhouse", f"spans cannot be read now: {error}") from error
        missing = [one for one in asked if one not in rows]
        if not missing:
            return rows
        if time.monotonic() > end:
            raise Refused(404, "not_found", f"project {project} has no span {missing[0]} (trace:span) that has ended")
        await asyncio.sleep(0.2)


def _rows(settings: Settings, project: str, asked: Sequence[str]) -> dict[str, Row]:
    traces = sorted({one.partition(":")[0] for one in asked})
    bound = {"project": project, "traces": traces, "spans": list(asked)}
    with closing(client.connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)) as server:
        return {f"{row[0]}:{row[1]}": row for row in server.rows(SPANS, bound)}


def _example(project: str, run: Run, place: int, row: Row, scorers: tuple[ScorerRef, ...]) -> Example:
    trace, span, given, returned, agent, agent_version, session, customer, environment, tags = row
    told = {name: text for name, text in (("input", given), ("output", returned)) if text}
    return Example(
        project=project,
        example_id=example_id(project, run.id, place),
        fields=orjson.dumps(told),
        scorers=scorers,
        trace_id=trace,
        span_id=span,
        session_id=session,
        customer_id=customer,
        agent=agent,
        agent_version=agent_version,
        environment=environment,
        tags=tuple(tags),
    )


def _out(example: Example) -> Out:
    key = record_key(example.project, example.trace_id)
    return Out(Topic.EXAMPLES, key, example, (("vedette-project", example.project.encode()),))
