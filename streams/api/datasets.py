"""Datasets as people keep them: read out of ClickHouse, written to `vedette.dataset-items`.

What rules add stands in the same table, by the same identities. The name, a description and a JSON Schema of a dataset are a
document of the kind `Dataset`, so that one without items exists.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from pydantic import Field

from schemas.config import ConfigEntry
from schemas.dataset import DatasetItem
from schemas.documents.base import Name, Strict, canonical_spec, spec_version
from schemas.ids import record_key
from schemas.topics import Topic
from sinks.clickhouse.client import connect
from sinks.clickhouse.datasets import NEWEST, START, Datasets, Item, Listed
from sinks.sink import Permanent, Transient
from streams.api.app import Call
from streams.api.dataset_changes import NewItem, added, misfits, removed
from streams.api.errors import Refused
from streams.api.publish import append
from streams.logic.configuration import Versioned
from streams.records import Out
from streams.settings import Settings

T = TypeVar("T")

KIND = "Dataset"
AT_ONCE, PAGE = 10_000, 1000
"""Items that one call adds, and that one page tells."""
STORED_WITHIN_S = 20.0


class NewDataset(Strict):
    """A dataset to be; `overwrite` lets go what one of its name holds and is not told here."""

    name: Name
    description: str = Field(default="", max_length=2000)
    schema_: dict[str, Any] | None = Field(
        default=None, alias="schema", description="JSON Schema that the fields of every item fit"
    )
    items: tuple[NewItem, ...] = Field(default=(), max_length=AT_ONCE)
    overwrite: bool = False


class DatasetSpec(Strict):
    """What is remembered of a dataset beside its items."""

    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


async def read(settings: Settings, project: str, work: Callable[[Datasets], T]) -> T:
    """Returns what is found in ClickHouse.

    Raises:
        Refused: 503, it does not answer now.

    """

    def found() -> T:
        url = settings.clickhouse_url.get_secret_value()
        with closing(connect(url, settings.clickhouse_database)) as server:
            return work(Datasets(server, project))

    try:
        return await asyncio.to_thread(found)
    except (Transient, Permanent) as error:
        raise Refused(503, "clickhouse", f"datasets cannot be read now: {error}", {"retry": True}) from error


async def write(call: Call, project: str, dataset: str, items: Sequence[DatasetItem], at: int) -> None:
    """Writes items and returns when they are stored: who reads next finds them.

    Raises:
        NotWritten: Kafka did not take them.
        Refused: 503, they are not stored yet; sending them again is harmless.

    """
    if not items:
        return
    await asyncio.to_thread(call.services.records.append, [_out(item) for item in items])
    end = time.monotonic() + STORED_WITHIN_S
    while await read(call.services.settings, project, lambda found: found.stored(dataset, at)) < len(items):
        if time.monotonic() > end:
            message = "the items are on vedette.dataset-items and the job `store` has not written them yet; send them again, or wait"
            raise Refused(503, "not_stored", message)
        await asyncio.sleep(0.05)


def _out(item: DatasetItem) -> Out:
    key = record_key(item.project, item.dataset, item.item_id)
    return Out(Topic.DATASET_ITEMS, key, item, (("vedette-project", item.project.encode()),))


def _now() -> int:
    return time.time_ns() // 1_000_000


def described(call: Call, project: str, name: str) -> Versioned | None:
    """Returns the document of a dataset; None when it has none, or was deleted."""
    return call.services.config.configuration.newest(KIND, project, name)


def schema_of(document: Versioned | None) -> dict[str, Any] | None:
    """Returns the JSON Schema of a dataset, if it has one."""
    return None if document is None else DatasetSpec.model_validate_json(document.spec).schema_


async def _describe(call: Call, project: str, wanted: NewDataset) -> None:
    spec = canonical_spec(DatasetSpec(schema_=wanted.schema_))
    entry = ConfigEntry(
        project=project, kind=KIND, name=wanted.name, version=spec_version(spec), spec=spec,
        description=wanted.description, by=call.caller.id,
    )  # fmt: skip
    await append(call.services.config, lambda: (None, [entry]))


async def create(call: Call, project: str, wanted: NewDataset) -> dict[str, Any]:
    """Makes a dataset and returns when it can be read.

    Raises:
        Refused: 409 there is one of its name, 400 an item does not fit the schema.

    """
    settings = call.services.settings
    known = await read(settings, project, lambda found: found.known(wanted.name))
    there = any(not one.removed for items in known.values() for one in items)
    if (there or described(call, project, wanted.name)) and not wanted.overwrite:
        message = f"there is a dataset {wanted.name!r} in project {project}; add to it, or send `overwrite` to replace what it holds"
        raise Refused(409, "exists", message)
    _fitting(wanted.schema_, wanted.items)
    at, kept = _now(), {item.id for item in wanted.items}
    old = [one for subject, items in known.items() if subject not in kept for one in items]
    made = added(project, wanted.name, wanted.items, known, _by(call), at)
    await _describe(call, project, wanted)
    await write(call, project, wanted.name, [*removed(project, wanted.name, old, at), *made], at)
    return {"name": wanted.name, "project": project, "version": at, "added": len(wanted.items)}


async def add(call: Call, project: str, name: str, items: Sequence[NewItem]) -> dict[str, Any]:
    """Adds items to a dataset and returns when they can be read; a dataset that has only a rule's name for it begins here.

    Raises:
        Refused: 404 there is no such dataset, 400 an item does not fit its schema.

    """
    document = described(call, project, name)
    settings, subjects = call.services.settings, [item.id for item in items]
    if document is None:
        await found_or_404(call, project, name)
    _fitting(schema_of(document), items)
    known = await read(settings, project, lambda found: found.known(name, subjects))
    at = _now()
    made = added(project, name, items, known, _by(call), at)
    await write(call, project, name, made, at)
    new = sum(not one.removed for one in made)
    return {"name": name, "project": project, "version": at, "added": new, "unchanged": len(items) - new}


def _fitting(schema: Mapping[str, Any] | None, items: Sequence[NewItem]) -> None:
    try:
        wrong = list(misfits(schema, items))
    except ValueError as error:
        raise Refused(400, "invalid_schema", f"schema: {error}") from error
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Refused(400, "misfit", f"{wrong[0]}{more}; nothing was added", {"problems": wrong[:100]})


def _by(call: Call) -> str:
    return f"key {call.caller.id}"


async def found_or_404(call: Call, project: str, name: str) -> dict[str, Any]:
    """Returns what is told of a dataset.

    Raises:
        Refused: 404, there is none.

    """
    found = [one for one in await listed(call, project) if one["name"] == name]
    if not found:
        raise Refused(404, "not_found", f"project {project} has no dataset {name!r}; `vedette datasets ls` lists them")
    return found[0]


async def listed(call: Call, project: str) -> list[dict[str, Any]]:
    """Returns what is told of every dataset of a project, by name."""
    rows = {one.name: one for one in await read(call.services.settings, project, lambda found: found.listed())}
    documents = call.services.config.configuration.all_newest(KIND, project)
    names = sorted(name for name in {*rows, *documents} if name in documents or rows[name].items)
    return [_told(name, rows.get(name), documents.get(name)) for name in names]


def _told(name: str, row: Listed | None, document: Versioned | None) -> dict[str, Any]:
    since = document.effective_at if document is not None else 0
    return {
        "name": name,
        "description": document.description if document is not None else "",
        "schema": schema_of(document),
        "items": row.items if row else 0,
        "created_at": row.created_at if row else since,
        "created_by": row.created_by if row else "",
        "version": row.version if row else since,
    }


async def page(
    call: Call, project: str, name: str, version: int = NEWEST, after: Item = START, limit: int = PAGE
) -> list[Item]:
    """Returns a page of a version's items."""
    return await read(call.services.settings, project, lambda found: found.items(name, version, after, limit))


async def remove(call: Call, project: str, name: str, item_id: str = "") -> int:
    """Removes one item, by the id of its subject, or all with the dataset itself; returns how many.

    Raises:
        Refused: 404, there is none.

    """
    subjects = [item_id] if item_id else None
    known = await read(call.services.settings, project, lambda found: found.known(name, subjects))
    at = _now()
    gone = removed(project, name, [one for items in known.values() for one in items], at)
    document = None if item_id else described(call, project, name)
    if not gone and document is None:
        what = f"item {item_id!r} in dataset" if item_id else "dataset"
        raise Refused(404, "not_found", f"project {project} has no {what} {name!r}")
    if document is not None:
        entry = ConfigEntry(project=project, kind=KIND, name=name, version=document.version, deleted=True, by=call.caller.id)  # fmt: skip
        await append(call.services.config, lambda: (None, [entry]))
    await write(call, project, name, gone, at)
    return len(gone)
