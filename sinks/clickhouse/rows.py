"""Records as columns: what is written about each into the tables that get few rows (`avro.py` has the others). Pure.

`version` decides which copy of a row stays: the highest. Its upper 20 bits are a rank out of the record, its lower 44 the place
of the record in the log, so that no two different copies are equal and the order of inserts never matters.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import orjson

from schemas.alert import AlertChange
from schemas.codec import Unread
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.record import Record
from schemas.rule import Evaluated, RuleEvent

R = TypeVar("R", bound=Record)


class Message(Protocol):
    """A record with its place in the log."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def ingested_at(self) -> int:
        """Milliseconds: the ingest time that this record gives its subjects."""
        ...

    @property
    def record(self) -> Record | Unread[Any] | None:
        """None: nothing to store."""
        ...


Columns = Mapping[str, Sequence[Any]]
Rows = Callable[[Sequence[Message]], Columns]

OFFSET_BITS = 44
LAST_OFFSET = (1 << OFFSET_BITS) - 1
_RANK_BITS = 20
HALF_RANK = 1 << (_RANK_BITS - 1)

END_S = 4_102_444_800
"""2100-01-01. ClickHouse's DateTime, which partitions, keys and retention are computed with, wraps around in 2106."""


def first_stays(rank: int, offset: int) -> int:
    """Returns the version of a row whose highest rank stays, of equal ones the one that was first in the log."""
    return _clamped(rank, 2 * HALF_RANK) << OFFSET_BITS | (LAST_OFFSET - _clamped(offset, 1 << OFFSET_BITS))


def last_stays(rank: int, offset: int) -> int:
    """Returns the version of a row whose highest rank stays, of equal ones the one that was last in the log."""
    return _clamped(rank, 2 * HALF_RANK) << OFFSET_BITS | _clamped(offset, 1 << OFFSET_BITS)


def examples(messages: Sequence[Message]) -> Columns:
    """Columns of `examples`. Of an example that was sent again the first stays."""
    rows = _records(messages, Example)
    own = [example for _, example in rows]
    return {
        **_plain(own, _EXAMPLE),
        "fields": [example.fields.decode() for example in own],
        "scorers": [_json(example.scorers) for example in own],
        "verdicts": [_json(example.verdicts) for example in own],
        "ingested_at": _milliseconds(message.ingested_at for message, _ in rows),
        "version": [first_stays(0, message.offset) for message, _ in rows],
    }


def matches(messages: Sequence[Message]) -> Columns:
    """Columns of `matches` from the matched subjects of rule events. Of a subject that was matched again the first stays."""
    rows = [
        (message, event, position, subject)
        for message, event in _records(messages, RuleEvent)
        for position, subject in enumerate(event.evaluated)
        if subject.matched
    ]
    own: list[Evaluated] = [subject for _, _, _, subject in rows]
    return {
        **_plain([event for _, event, _, _ in rows], "project rule rule_version group_key"),
        **_plain(own, "subject_kind subject_id trace_id span_id value reason"),
        "ingested_at": _milliseconds(subject.ingested_at for subject in own),
        "partition": [message.partition for message, _, _, _ in rows],
        "offset": [message.offset for message, _, _, _ in rows],
        "position": [position for _, _, position, _ in rows],
        "version": [first_stays(0, message.offset) for message, _, _, _ in rows],
    }


def alerts(messages: Sequence[Message]) -> Columns:
    """Columns of `alerts` and of `alert_changes`. The highest change stays."""
    rows = _records(messages, AlertChange)
    own = [change for _, change in rows]
    return {
        **_plain(own, _ALERT),
        "group_values": [change.group for change in own],
        "fired_at": _milliseconds(change.fired_at for change in own),
        "changed_at": _milliseconds(change.changed_at for change in own),
        "cooldown_until": _milliseconds(change.cooldown_until for change in own),
        "until": _milliseconds(change.until for change in own),
        "evidence": [_json(change.evidence) for change in own],
        "version": [first_stays(change.change, message.offset) for message, change in rows],
    }


def deliveries(messages: Sequence[Message]) -> Columns:
    """Columns of `deliveries`. What ends it stays over what waits, then the most attempts and looks, then what was written last."""
    rows = _records(messages, Delivery)
    own = [delivery for _, delivery in rows]
    return {
        **_plain(own, _DELIVERY),
        "due_at": _milliseconds(delivery.due_at for delivery in own),
        "planned_at": _milliseconds(delivery.planned_at for delivery in own),
        # retention goes by this one: a row without it would vanish at once
        "changed_at": _milliseconds(delivery.changed_at or message.ingested_at for message, delivery in rows),
        "version": [last_stays(_delivery_rank(delivery), message.offset) for message, delivery in rows],
    }


def dataset_items(messages: Sequence[Message]) -> Columns:
    """Columns of `dataset_items`. What was said last of an item stays: that it was added, or that it was removed."""
    rows = _records(messages, DatasetItem)
    own = [item for _, item in rows]
    return {
        **_plain(own, _DATASET_ITEM),
        "added_at": _milliseconds(item.added_at or message.ingested_at for message, item in rows),
        "removed_at": _milliseconds(item.removed_at for item in own),
        "fields": [item.fields.decode() for item in own],
        "version": [last_stays(0, message.offset) for message, _ in rows],
    }


ROWS: Mapping[str, tuple[type[Record], Rows]] = {
    "examples": (Example, examples),
    "matches": (RuleEvent, matches),
    "alert_changes": (AlertChange, alerts),
    "alerts": (AlertChange, alerts),
    "deliveries": (Delivery, deliveries),
    "dataset_items": (DatasetItem, dataset_items),
}
"""By table: of which record it holds something, and what."""

_EXAMPLE = "project example_id sampling_rate trace_id span_id session_id customer_id agent agent_version environment tags origin run_id"
_ALERT = (
    "project rule rule_version group_key alert_id change kind state severity firing_id renotified subjects matched suppressed cause "
    "by events_partition events_offset"
)
_DATASET_ITEM = "project dataset item_id subject_kind subject_id trace_id added_by removed position"
_DELIVERY = "project destination alert_id change recipient state rule group_key attempts looks reason kept_quiet instead_of reference"


def _records(messages: Iterable[Message], cls: type[R]) -> list[tuple[Message, R]]:
    return [(message, message.record) for message in messages if isinstance(message.record, cls)]


def _plain(records: Sequence[Record], names: str) -> dict[str, list[Any]]:
    """The columns that are fields as they stand."""
    return {name: list(map(attrgetter(name), records)) for name in names.split()}


def _milliseconds(times: Iterable[int]) -> list[int]:
    return [_clamped(time, END_S * 1000) for time in times]


def _clamped(number: int, end: int) -> int:
    return min(max(number, 0), end - 1)


def _json(records: Sequence[Record]) -> str:
    return orjson.dumps([dict(record) for record in records]).decode()


def _delivery_rank(delivery: Delivery) -> int:
    waits = delivery.state == "pending" or delivery.alert is not None
    return (0 if waits else HALF_RANK) + _clamped(delivery.attempts + delivery.looks, HALF_RANK)
