"""Datasets out of ClickHouse. A version of one is a time in milliseconds: what it held then can be read as long as it exists."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sinks.clickhouse.client import ClickHouse

NEWEST = 4_102_444_800_000
"""The version that everything is in which was not removed."""

# ruff: noqa: S608 - what is put together here are constants; every value is bound on the server
_CHANGED = "toUnixTimestamp64Milli(greatest(added_at, removed_at))"
_LISTED = f"""
SELECT dataset, countIf(NOT removed) AS items, toUnixTimestamp64Milli(min(added_at)), max({_CHANGED}), argMin(added_by, added_at)
FROM {{ours:Identifier}}.dataset_items FINAL WHERE project = {{project:String}}
GROUP BY dataset ORDER BY dataset
"""
_ITEMS = """
SELECT item_id, subject_kind, subject_id, trace_id, added_by, toUnixTimestamp64Milli(added_at) AS at, position, fields
FROM {ours:Identifier}.dataset_items FINAL
WHERE project = {project:String} AND dataset = {dataset:String}
  AND at <= {version:Int64} AND (NOT removed OR toUnixTimestamp64Milli(removed_at) > {version:Int64})
  AND (at, position, item_id) > ({at:Int64}, {position:Int64}, {item:String})
ORDER BY at, position, item_id LIMIT {limit:UInt32}
"""
_VERSIONS = """
SELECT version, sum(sum(held)) OVER (ORDER BY version) AS items, any(by)
FROM (
  SELECT toUnixTimestamp64Milli(added_at) AS version, 1 AS held, added_by AS by
  FROM {ours:Identifier}.dataset_items FINAL WHERE project = {project:String} AND dataset = {dataset:String}
  UNION ALL
  SELECT toUnixTimestamp64Milli(removed_at) AS version, -1 AS held, '' AS by
  FROM {ours:Identifier}.dataset_items FINAL WHERE project = {project:String} AND dataset = {dataset:String} AND removed
)
GROUP BY version ORDER BY version DESC LIMIT 1000
"""
_KNOWN = """
SELECT item_id, subject_kind, subject_id, trace_id, added_by, toUnixTimestamp64Milli(added_at), position, fields, removed
FROM {ours:Identifier}.dataset_items FINAL
WHERE project = {project:String} AND dataset = {dataset:String}
"""
_STORED = f"""
SELECT count() FROM {{ours:Identifier}}.dataset_items FINAL
WHERE project = {{project:String}} AND dataset = {{dataset:String}} AND {_CHANGED} = {{at:Int64}}
"""


class Listed(NamedTuple):
    """One dataset. Times are in milliseconds."""

    name: str
    items: int
    created_at: int
    version: int
    created_by: str


class Item(NamedTuple):
    """One subject in a dataset; `fields` is JSON."""

    item_id: str
    subject_kind: str
    subject_id: str
    trace_id: str
    added_by: str
    added_at: int
    position: int
    fields: str
    removed: bool = False


START = Item("", "", "", "", "", -1, -1, "")
"""Stands before every item."""


class Version(NamedTuple):
    """A time at which a dataset changed, and how many items it had from then on."""

    version: int
    items: int
    by: str


@dataclass(frozen=True)
class Datasets:
    """The datasets of one project. Every method raises `Transient` or `Permanent`, the server's failure."""

    clickhouse: ClickHouse
    project: str

    def listed(self) -> list[Listed]:
        """Returns all that ever had an item, by name."""
        return [Listed(*row) for row in self.clickhouse.rows(_LISTED, {"project": self.project})]

    def items(self, dataset: str, version: int = NEWEST, after: Item = START, limit: int = 1000) -> list[Item]:
        """Returns the items of a version that come after one of them, in the order in which they were added."""
        place = {"at": after.added_at, "position": after.position, "item": after.item_id}
        given = {**self._of(dataset), **place, "version": version, "limit": limit}
        return [Item(*row) for row in self.clickhouse.rows(_ITEMS, given)]

    def versions(self, dataset: str) -> list[Version]:
        """Returns the last thousand, the newest first. Items that were removed before there were versions are in none."""
        return [Version(*row) for row in self.clickhouse.rows(_VERSIONS, self._of(dataset))]

    def known(self, dataset: str, subjects: Sequence[str] | None = None) -> Mapping[str, list[Item]]:
        """Returns every item, removed ones too, by subject id: of some subjects, or of all."""
        statement, given = _KNOWN, self._of(dataset)
        if subjects is not None:
            statement += "AND subject_id IN {subjects:Array(String)}"
            given = {**given, "subjects": list(subjects)}
        found: Mapping[str, list[Item]] = defaultdict(list)
        for row in self.clickhouse.rows(statement, given):
            found[row[2]].append(Item(*row))
        return found

    def stored(self, dataset: str, at: int) -> int:
        """Returns how many items stand there as added or removed at a time."""
        return int(self.clickhouse.rows(_STORED, {**self._of(dataset), "at": at})[0][0])

    def _of(self, dataset: str) -> dict[str, object]:
        return {"project": self.project, "dataset": dataset}
