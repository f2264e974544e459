"""The endpoints of datasets."""

from typing import Any

import orjson
from pydantic import Field, TypeAdapter

from schemas.documents.base import Strict
from sinks.clickhouse.datasets import NEWEST, START, Item
from streams.api import datasets
from streams.api.app import Call, Endpoint
from streams.api.dataset_changes import NewItem
from streams.api.datasets import AT_ONCE, PAGE, NewDataset
from streams.api.errors import Refused


class Items(Strict):
    """What is added."""

    items: tuple[NewItem, ...] = Field(max_length=AT_ONCE)


NEW, ITEMS = TypeAdapter(NewDataset), TypeAdapter(Items)


async def _list(call: Call) -> Any:
    return {"datasets": await datasets.listed(call, call.project)}


async def _create(call: Call) -> Any:
    return await datasets.create(call, call.project, call.read(NEW))


async def _add(call: Call) -> Any:
    return await datasets.add(call, call.project, call.path["name"], call.read(ITEMS).items)


async def _get(call: Call) -> Any:
    project, name = call.project, call.path["name"]
    told = await datasets.found_or_404(call, project, name)
    version = _whole(call, "version", NEWEST)
    limit = min(_whole(call, "limit", PAGE), PAGE)
    items = await datasets.page(call, project, name, version, _after(call.query.get("cursor", "")), limit)
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
    await datasets.found_or_404(call, project, name)
    found = await datasets.read(call.services.settings, project, lambda found: found.versions(name))
    return {"versions": [one._asdict() for one in found]}


async def _delete(call: Call) -> Any:
    return {"name": call.path["name"], "removed": await datasets.remove(call, call.project, call.path["name"])}


async def _remove(call: Call) -> Any:
    name, item = call.path["name"], call.path["id"]
    return {"name": name, "removed": await datasets.remove(call, call.project, name, item)}


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
