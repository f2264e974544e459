"""Datasets as people keep them: examples are added and removed, never changed, so every earlier version can be read.

What rules add stands in the same table, by the same identities. The name, a description and a JSON Schema of a dataset are a
document of the kind `Dataset`, so that one without items exists.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

import orjson
from jsonschema_rs import ValidationError, validator_for
from pydantic import Field, TypeAdapter

from schemas.config import ConfigEntry
from schemas.dataset import DatasetItem
from schemas.documents.base import Name, Strict, canonical_spec, spec_version
from schemas.ids import dataset_item_id, record_key
from schemas.topics import Topic
from sinks.clickhouse.client import connect
from sinks.clickhouse.datasets import NEWEST, START, Datasets, Item
from sinks.sink import Permanent, Transient
from streams.api.app import Call, Endpoint
from streams.api.errors import Refused
from streams.api.publish import append
from streams.bridge.examples import Id, TraceId, cleaned
from streams.logic.configuration import Versioned
from streams.records import Out
from streams.settings import Settings

T = TypeVar("T")

KIND = "Dataset"
AT_ONCE, PAGE = 10_000, 1000
"""Items that one call adds, and that one page tells."""
STORED_WITHIN_S = 20.0


class NewItem(Strict):
    """An example to be. What has the id and the fields of one that is there is that one."""

    id: Id
    fields: dict[str, Any]
    trace_id: TraceId = ""


class NewDataset(Strict):
    """A dataset to be; `overwrite` lets go what one of its name holds and is not told here."""

    name: Name
    description: str = Field(default="", max_length=2000)
    schema_: dict[str, Any] | None = Field(
        default=None, alias="schema", description="JSON Schema that the fields of every item fit"
    )
    items: tuple[NewItem, ...] = Field(default=(), max_length=AT_ONCE)
    overwrite: bool = False


class Items(Strict):
    """What is added."""

    items: tuple[NewItem, ...] = Field(max_length=AT_ONCE)


class DatasetSpec(Strict):
    """What is remembered of a dataset beside its items."""

    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


NEW, ITEMS = TypeAdapter(NewDataset), TypeAdapter(Items)


# --- decisions ------------------------------------------------------------------------------------------------------


def added(
    project: str, dataset: str, items: Sequence[NewItem], known: Mapping[str, Sequence[Item]], by: str, at: int
) -> list[DatasetItem]:
    """Returns what is written when items are added: nothing for one that is there as it is told.

    One whose fields differ takes the place of the old one: that is removed, and an item with an id of its own is added.
    """
    written: dict[str, DatasetItem] = {}
    for position, item in enumerate(items):
        fields = orjson.dumps(cleaned(item.fields))
        before = known.get(item.id, ())
        there = next((one for one in before if not one.removed), None)
        if there is not None and orjson.loads(there.fields) == orjson.loads(fields):
            continue
        if there is not None:
            written[there.item_id] = _removal(project, dataset, there, at)
        nth = f"#{len(before)}" if before else ""
        made = DatasetItem(
            project=project,
            dataset=dataset,
            item_id=dataset_item_id(project, dataset, f"example:{item.id}{nth}"),
            subject_kind="example",
            subject_id=item.id,
            trace_id=item.trace_id,
            added_by=by,
            added_at=at,
            fields=fields,
            position=position,
        )
        written[made.item_id] = made
    return list(written.values())


def removed(project: str, dataset: str, items: Sequence[Item], at: int) -> list[DatasetItem]:
    """Returns what is written when items are removed."""
    return [_removal(project, dataset, item, at) for item in items if not item.removed]


def _removal(project: str, dataset: str, item: Item, at: int) -> DatasetItem:
    told = {**item._asdict(), "fields": item.fields.encode(), "removed": True, "removed_at": at}
    return DatasetItem.model_validate({"project": project, "dataset": dataset, **told})


def misfits(schema: Mapping[str, Any] | None, items: Sequence[NewItem]) -> Iterator[str]:
    """Yields how items differ from a dataset's JSON Schema. The type `trace`, which judgeval knows, is a trace's id."""
    if schema is None:
        return
    check = validator_for(_plain(schema))
    for item in items:
        try:
            check.validate(item.fields)
        except ValidationError as error:
            place = "".join(f".{step}" for step in error.instance_path)
            yield f"item {item.id!r}: fields{place}: {error.message}"


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: "string" if (key, value) == ("type", "trace") else _plain(value) for key, value in schema.items()}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


# --- what is read and written ---------------------------------------------------------------------------------------


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


# --- what is asked --------------------------------------------------------------------------------------------------


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


def _told(name: str, row: Any, document: Versioned | None) -> dict[str, Any]:
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


# --- endpoints ------------------------------------------------------------------------------------------------------


async def _list(call: Call) -> Any:
    return {"datasets": await listed(call, call.project)}


async def _create(call: Call) -> Any:
    return await create(call, call.project, call.read(NEW))


async def _add(call: Call) -> Any:
    return await add(call, call.project, call.path["name"], call.read(ITEMS).items)


async def _get(call: Call) -> Any:
    project, name = call.project, call.path["name"]
    told = await found_or_404(call, project, name)
    version = _whole(call, "version", NEWEST)
    limit = min(_whole(call, "limit", PAGE), PAGE)
    items = await page(call, project, name, version, _after(call.query.get("cursor", "")), limit)
    cursor = f"{items[-1].added_at}.{items[-1].position}.{items[-1].item_id}" if len(items) == limit else None
    return {**told, "version": min(version, told["version"]), "items": [_shown(one) for one in items], "count": told["items"], "cursor": cursor}  # fmt: skip


def _shown(item: Item) -> dict[str, Any]:
    return {
        "id": item.subject_id,
        "kind": item.subject_kind,
        "trace_id": item.trace_id,
        "added_by": item.added_by,
        "added_at": item.added_at,
        "fields": orjson.loads(item.fields),
    }


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query.get(name) or str(default)
    if not text.isdigit() or int(text) > NEWEST:
        raise Refused(400, "invalid_query", f"{name}={text!r}: give a whole number")
    return int(text)


def _after(cursor: str) -> Item:
    if not cursor:
        return START
    try:
        at, position, item = cursor.split(".")
        return START._replace(added_at=int(at), position=int(position), item_id=item)
    except ValueError:
        raise Refused(400, "invalid_query", f"cursor={cursor!r} is none; take it from the page before") from None


async def _versions(call: Call) -> Any:
    project, name = call.project, call.path["name"]
    await found_or_404(call, project, name)
    found = await read(call.services.settings, project, lambda found: found.versions(name))
    return {"versions": [one._asdict() for one in found]}


async def _delete(call: Call) -> Any:
    return {"name": call.path["name"], "removed": await remove(call, call.project, call.path["name"])}


async def _remove(call: Call) -> Any:
    name, item = call.path["name"], call.path["id"]
    return {"name": name, "removed": await remove(call, call.project, name, item)}


_P = "/api/v1/datasets"
ENDPOINTS = (
    Endpoint("GET", _P, "list datasets", _list, "read", ("project",)),
    Endpoint("POST", _P, "make a dataset", _create, "develop", ("project",), NEW, 201),
    Endpoint("GET", f"{_P}/{{name}}", "items of a dataset", _get, "read", ("project", "version", "cursor", "limit")),
    Endpoint("DELETE", f"{_P}/{{name}}", "delete a dataset", _delete, "develop", ("project",)),
    Endpoint("POST", f"{_P}/{{name}}/items", "add items", _add, "develop", ("project",), ITEMS),
    Endpoint("DELETE", f"{_P}/{{name}}/items/{{id}}", "remove an item", _remove, "develop", ("project",)),
    Endpoint("GET", f"{_P}/{{name}}/versions", "when it changed", _versions, "read", ("project",)),
)
