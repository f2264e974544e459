"""Datasets as judgeval asks for them: what streams/api/datasets.py keeps, in the forms of both generations.

A subject that a rule added is told as an example of its fields.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import Field, TypeAdapter

from schemas.documents.base import Name
from sinks.clickhouse.datasets import NEWEST, START, Item
from streams.api import datasets
from streams.api.app import Call
from streams.api.dataset_changes import NewItem
from streams.api.datasets import NewDataset
from streams.api.errors import Refused
from streams.api.judgeval.wire import Told, project_of

OWN = frozenset(("example_id", "created_at"))
"""What judgeval puts beside an example's fields."""


class New(Told):
    """A dataset to be."""

    name: Name
    project_name: str = ""
    examples: tuple[dict[str, Any], ...] = ()
    overwrite: bool | None = False
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class More(Told):
    """Examples to add. Generation A names dataset and project here, B in the path."""

    dataset_name: str = ""
    project_name: str = ""
    examples: tuple[dict[str, Any], ...]


class Asked(Told):
    """A dataset of a project, or all."""

    dataset_name: str = ""
    project_name: str = ""


NEW, MORE, ASKED = TypeAdapter(New), TypeAdapter(More), TypeAdapter(Asked)


def items(examples: Sequence[Mapping[str, Any]]) -> list[NewItem]:
    """Returns examples as they are kept; a name that is not told is no field.

    Raises:
        Refused: 400, one has no id.

    """
    try:
        return [
            NewItem(
                id=one["example_id"],
                fields={
                    name: value for name, value in one.items() if name not in OWN and (name, value) != ("name", None)
                },
            )
            for one in examples
        ]
    except (KeyError, ValueError) as error:
        raise Refused(
            400, "invalid_body", f"examples: each needs an example_id of 1 to 200 characters ({error})"
        ) from error


# --- both -----------------------------------------------------------------------------------------------------------


async def create(call: Call) -> Any:
    """Makes a dataset."""
    sent: New = call.read(NEW)
    project = project_of(call, sent.project_name)
    given = items(sent.examples)
    wanted = NewDataset(name=sent.name, schema_=sent.schema_, items=tuple(given), overwrite=bool(sent.overwrite))
    made = await datasets.create(call, project, wanted)
    told = await datasets.found_or_404(call, project, sent.name)
    ids = {"example_ids": [one.id for one in given], "version_added": made["version"]}
    return {"detail": "created", "dataset_id": sent.name, "dataset": _described(told), **ids}


async def insert(call: Call) -> Any:
    """Adds examples."""
    sent: More = call.read(MORE)
    project, name = project_of(call, sent.project_name), call.path.get("name") or sent.dataset_name
    given = items(sent.examples)
    made = await datasets.add(call, project, name, given)
    return {"example_ids": [one.id for one in given], "version_added": made["version"]}


async def list_all(call: Call) -> Any:
    """Lists datasets; releases before 1.0 take these keys and no other."""
    sent: Asked = call.read(ASKED) if call.body else Asked()
    return [
        {
            "dataset_id": one["name"],
            "name": one["name"],
            "created_at": _time(one["created_at"]),
            "kind": "example",
            "entries": one["items"],
            "creator": one["created_by"],
        }
        for one in await datasets.listed(call, project_of(call, sent.project_name))
    ]


# --- generation A ---------------------------------------------------------------------------------------------------


async def pull(call: Call) -> Any:
    """Returns a dataset with all its examples, their fields under `data`."""
    sent: Asked = call.read(ASKED)
    project = project_of(call, sent.project_name)
    await datasets.found_or_404(call, project, sent.dataset_name)
    examples = []
    for item in await _all(call, project, sent.dataset_name):
        name, fields = _named(item)
        examples.append(
            {"example_id": item.subject_id, "created_at": _time(item.added_at), "name": name, "data": fields}
        )
    return {"name": sent.dataset_name, "project_name": project, "dataset_kind": "example", "examples": examples}


# --- generation B ---------------------------------------------------------------------------------------------------


async def get(call: Call) -> Any:
    """Returns a dataset with all its examples, their fields beside their ids: releases before 1.0 look for them there."""
    project, name = project_of(call), call.path["name"]
    told = await datasets.found_or_404(call, project, name)
    examples = []
    for item in await _all(call, project, name):
        own, fields = _named(item)
        told_apart = {"example_id": item.subject_id, "created_at": _time(item.added_at), "name": own}
        examples.append({**fields, **told_apart})
    return {**_described(told), "dataset_kind": "example", "examples": examples}


async def page(call: Call) -> Any:
    """Returns some examples of a version."""
    project, name, query = project_of(call), call.path["name"], call.query
    told = await datasets.found_or_404(call, project, name)
    limit = min(int(query["limit"]) if query.get("limit", "").isdigit() else datasets.PAGE, datasets.PAGE)
    version = int(query["version"]) if query.get("version", "").isdigit() else NEWEST
    found = await datasets.page(call, project, name, version, _after(query), limit)
    last = found[-1] if len(found) == limit else None
    cursor = None if last is None else {"created_at": f"{last.added_at}.{last.position}", "example_id": last.item_id}
    entries = [_entry(project, name, item) for item in found]
    return {"dataset": _described(told), "entries": entries, "metadata": {"hasMore": last is not None, "nextCursor": cursor}}  # fmt: skip


async def versions(call: Call) -> Any:
    """Lists the versions of a dataset, the newest first."""
    project, name = project_of(call), call.path["name"]
    await datasets.found_or_404(call, project, name)
    found = await datasets.read(call.services.settings, project, lambda found: found.versions(name))
    return {
        "versions": [
            {
                "version_id": str(one.version),
                "dataset_id": name,
                "version_number": one.version,
                "created_at": _time(one.version),
                "item_count": one.items,
                "user_id": one.by or None,
            }
            for one in found
        ]
    }


async def delete(call: Call) -> Any:
    """Deletes a dataset."""
    name = call.path["name"]
    removed = await datasets.remove(call, project_of(call), name)
    return {"status": "success", "message": f"dataset {name!r} is deleted, with {removed} examples"}


async def _all(call: Call, project: str, name: str) -> list[Item]:
    found: list[Item] = []
    after = START
    while True:
        more = await datasets.page(call, project, name, after=after)
        found += more
        if len(more) < datasets.PAGE:
            return found
        after = more[-1]


def _named(item: Item) -> tuple[str | None, dict[str, Any]]:
    """An example's name, and its other fields."""
    fields: dict[str, Any] = orjson.loads(item.fields)
    name = fields.get("name")
    return (name, {key: value for key, value in fields.items() if key != "name"}) if isinstance(name, str) else (None, fields)  # fmt: skip


def _entry(project: str, dataset: str, item: Item) -> dict[str, Any]:
    _, fields = _named(item)
    created = _time(item.added_at)
    of = {"organization_id": "", "project_id": project, "created_at": created, "user_id": item.added_by}
    place = {"id": item.item_id, "dataset_id": dataset, "version_added": item.added_at, "example_id": item.subject_id}
    example = {"example_id": item.subject_id, "data": fields, "metadata": None, "managed_metadata": {}}
    return {"item": {**place, **of}, "example": {**example, **of}}


def _described(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dataset_id": told["name"],
        "name": told["name"],
        "schema": told["schema"],
        "current_version": told["version"],
        "created_at": _time(told["created_at"]),
        "creator_id": told["created_by"] or None,
        "entries": told["items"],
        "test_config_count": 0,
    }


def _after(query: Mapping[str, str]) -> Item:
    at, _, position = query.get("cursor_created_at", "").partition(".")
    if not (at.isdigit() and position.isdigit()):
        return START
    return START._replace(added_at=int(at), position=int(position), item_id=query.get("cursor_example_id", ""))


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
