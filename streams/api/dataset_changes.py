"""What is written when people add to datasets and remove from them: decisions, without HTTP, Kafka and clock.

Examples are added and removed, never changed, so every earlier version can be read.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from jsonschema_rs import ValidationError, validator_for

from schemas.dataset import DatasetItem
from schemas.documents.base import Strict
from schemas.ids import dataset_item_id
from sinks.clickhouse.datasets import Item
from streams.bridge.examples import Id, TraceId, cleaned


class NewItem(Strict):
    """An example to be. What has the id and the fields of one that is there is that one."""

    id: Id
    fields: dict[str, Any]
    trace_id: TraceId = ""


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
