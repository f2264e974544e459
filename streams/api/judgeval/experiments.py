"""Results of an experiment, out of ClickHouse: examples whose every scorer has said something."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import TypeAdapter

from sinks.clickhouse import client
from sinks.sink import Permanent, Transient
from streams.api.app import Call
from streams.api.errors import Refused
from streams.api.judgeval.wire import Told, project_of
from streams.settings import Settings

EXAMPLES = """
SELECT example_id, fields, scorers, verdicts
FROM {ours:Identifier}.examples FINAL WHERE project = {project:String} AND run_id = {run:String}
ORDER BY ingested_at, example_id LIMIT 10000
"""
SCORES = """
SELECT subject_id, scorer, score_id, value, threshold, label, outcome, reason
FROM {ours:Identifier}.scores FINAL WHERE project = {project:String} AND run_id = {run:String} AND subject_kind = 'example'
ORDER BY scorer
"""


class Run(Told):
    """An experiment of a project."""

    experiment_run_id: str
    project_name: str | None = None


RUN = TypeAdapter(Run)


async def fetch(call: Call) -> Any:
    """Returns the finished examples of a run, which judgeval asks for until there are as many as it sent."""
    if "run_id" in call.path:
        run, project = call.path["run_id"], project_of(call)
    else:
        sent: Run = call.read(RUN)
        run, project = sent.experiment_run_id, project_of(call, sent.project_name or "")
    settings = call.services.settings
    try:
        examples, scores = await asyncio.to_thread(_rows, settings, project, run)
    except (Transient, Permanent) as error:
        raise Refused(503, "clickhouse", f"results cannot be read now: {error}") from error
    where = f"{settings.public_url}/api/v1/experiments/{quote(run, safe='')}?project={quote(project, safe='')}"
    return {"results": results(examples, scores), "ui_results_url": where, "has_more": False}


Rows = Sequence[Sequence[Any]]


def _rows(settings: Settings, project: str, run: str) -> tuple[Rows, Rows]:
    url = settings.clickhouse_url.get_secret_value()
    bound = {"project": project, "run": run}
    with closing(client.connect(url, settings.clickhouse_database)) as server:
        return server.rows(EXAMPLES, bound), server.rows(SCORES, bound)


def results(examples: Rows, scores: Rows) -> list[dict[str, Any]]:
    """Returns what judgeval is told of the examples that are finished."""
    found: Mapping[str, list[dict[str, Any]]] = defaultdict(list)
    for subject, *score in scores:
        found[subject].append(_told(*score))
    return [
        {"example_id": example, "data": orjson.loads(fields), "scorers": found[example]}
        for example, fields, asked, given in examples
        if _names(asked) | _names(given) <= {one["name"] for one in found[example]}
    ]


def _names(scorers: str) -> set[str]:
    return {one["scorer"] for one in orjson.loads(scorers)}


def _told(
    scorer: str, score_id: str, value: float | None, threshold: float | None, label: str, outcome: str, reason: str
) -> dict[str, Any]:
    """Generation A reads name, score, threshold and success; B `judge_name` and the value by its type."""
    judged = outcome in ("pass", "fail", "scored")
    return {
        "id": score_id,
        "scorer_data_id": score_id,
        "name": scorer,
        "judge_id": scorer,
        "judge_name": scorer,
        "score": value,
        "num_value": value,
        "str_value": label or None,
        "score_type": "categorical" if value is None and label else "numeric",
        "success": outcome in ("pass", "scored"),
        "outcome": outcome,
        "threshold": 0.0 if threshold is None else threshold,
        "minimum_score_range": 0,
        "maximum_score_range": 1,
        "reason": reason if judged else "",
        "error": None if judged else reason,
        "strict_mode": threshold == 1.0,
        "evaluation_model": None,
        "additional_metadata": {},
    }
