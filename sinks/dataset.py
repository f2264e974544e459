"""What a dataset is filled from: the matches of a rule, when it fired, and what its subjects said, out of ClickHouse."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.alert import AlertChange
from sinks.clickhouse.client import ClickHouse

MOST_FIRINGS = 100
"""Firings lie at least one cooldown apart: older ones than these kept nothing quiet that is not in the dataset already."""
PAGE = 500
"""Subjects whose fields are read at once: a span may carry a megabyte."""

# ruff: noqa: S608 - what is put together here are constants; every value is bound on the server
_WHERE = "project = {project:String} AND rule = {rule:String} AND group_key = {group_key:String}"
_MATCHES = f"""
SELECT subject_kind, subject_id, trace_id, toUnixTimestamp64Milli(ingested_at), offset
FROM {{ours:Identifier}}.matches FINAL
WHERE {_WHERE} AND partition = {{partition:Int32}} AND offset BETWEEN {{since:Int64}} AND {{last:Int64}}
  AND ingested_at > fromUnixTimestamp64Milli({{after:Int64}}, 'UTC') AND ingested_at < fromUnixTimestamp64Milli({{before:Int64}}, 'UTC')
"""
_TOLD = f"""
SELECT kind, toUnixTimestamp64Milli(changed_at), toUnixTimestamp64Milli(cooldown_until), events_offset
FROM {{ours:Identifier}}.alert_changes FINAL
WHERE {_WHERE} AND events_partition = {{partition:Int32}} AND events_offset <= {{last:Int64}}
  AND kind IN ('fired', 'renotified', 'resolved') AND NOT (alert_id = {{alert:String}} AND change >= {{change:Int64}})
ORDER BY events_offset DESC, change DESC LIMIT {MOST_FIRINGS}
"""
_FIELDS: Mapping[str, str] = {
    "span": """
SELECT concat(trace_id, ':', span_id),
  map('input', input, 'output', output, 'name', name, 'kind', kind, 'agent', agent, 'model', model, 'status', status,
      'status_message', status_message)
FROM {ours:Identifier}.spans FINAL
WHERE project = {project:String} AND run_id = '' AND trace_id IN {traces:Array(String)}
  AND concat(trace_id, ':', span_id) IN {subjects:Array(String)}
""",
    "trace": """
SELECT trace_id, map('input', input, 'output', output, 'name', name, 'agent', agent, 'status', status, 'status_message', status_message)
FROM {ours:Identifier}.traces WHERE project = {project:String} AND trace_id IN {subjects:Array(String)}
""",
    "example": """
SELECT example_id, fields FROM {ours:Identifier}.examples FINAL
WHERE project = {project:String} AND run_id = '' AND example_id IN {subjects:Array(String)}
""",
}
_KNOWN = """
SELECT item_id FROM {ours:Identifier}.dataset_items WHERE project = {project:String} AND dataset = {dataset:String} AND item_id IN {items:Array(String)}
"""
_FOR_EVER = 4_102_444_800_000


@dataclass(frozen=True)
class Told:
    """An earlier change of the rule's alerts that told what had been kept quiet until then. Times are in milliseconds."""

    kind: str
    at: int
    cooldown_until: int
    offset: int
    """Of the rule event that caused it."""


@dataclass(frozen=True)
class History:
    """What ClickHouse knows of the rule and group of one alert change, up to the rule event that caused it."""

    clickhouse: ClickHouse
    change: AlertChange

    def matches(self, after: int = -1, before: int = _FOR_EVER, since: int = 0) -> Sequence[Sequence[Any]]:
        """Returns kind, id, trace, ingest time and offset of the matches ingested between two times, from an offset on.

        Raises:
            Transient, Permanent: the server's failure.
        """
        return self._rows(_MATCHES, {"after": max(after, 0), "before": before, "since": since})

    def told(self) -> list[Told]:
        """Returns the earlier changes that were told, the newest first. Raises as `matches` does."""
        rows = self._rows(_TOLD, {"alert": self.change.alert_id, "change": self.change.change})
        return [Told(*row) for row in rows]

    def fields(self, kind: str, subjects: Sequence[str], traces: Iterable[str]) -> dict[str, bytes]:
        """Returns the fields of those subjects of a kind that are stored, by id, as JSON objects. Raises as `matches` does."""
        if kind not in _FIELDS:
            return {}
        given = {"project": self.change.project, "subjects": list(subjects), "traces": sorted(set(traces))}
        rows = self.clickhouse.rows(_FIELDS[kind], given)
        return {subject: said.encode() if isinstance(said, str) else orjson.dumps(said) for subject, said in rows}

    def known(self, dataset: str, items: Sequence[str]) -> set[str]:
        """Returns those ids of items that the dataset has, or had until somebody removed them. Raises as `matches` does."""
        given = {"project": self.change.project, "dataset": dataset, "items": list(items)}
        return {row[0] for row in self.clickhouse.rows(_KNOWN, given)}

    def _rows(self, statement: str, further: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        change = self.change
        own = {"project": change.project, "rule": change.rule, "group_key": change.group_key}
        place = {"partition": change.events_partition, "last": change.events_offset}
        return self.clickhouse.rows(statement, {**own, **place, **further})
