"""The `dataset` action of a rule: the subjects that an alert change gathered go into a dataset, each once.

They are read from ClickHouse up to the rule event that caused the change, and written to `vedette.dataset-items`. Their ids are derived,
so a repetition writes the same items again.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby

from schemas.alert import AlertChange
from schemas.dataset import DatasetItem
from schemas.ids import dataset_item_id, record_key
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse, connect
from sinks.dataset import PAGE, History
from sinks.sink import Permanent, Transient
from streams import schema_topic
from streams.async_producer import AsyncProducer
from streams.logic import firing
from streams.logic.firing import Match
from streams.logic.rules import RuleVersion
from streams.records import Out
from streams.settings import Settings


def subjects(history: History, rule: RuleVersion) -> list[Match]:
    """Returns what a change gathered: the subjects of its firing window, and those kept quiet since the last change that was told.

    Raises:
        Transient: ClickHouse has fewer of them than the change tells; it is away or behind.
        Permanent: ClickHouse will never answer.
    """
    change = history.change
    fired = change.kind != "resolved"
    window = _window(history, rule) if fired else []
    quiet = _quiet(history, rule.spec.cooldown) if change.suppressed else []
    expected = (change.subjects if fired else 0, change.suppressed)
    missing = max(told - len(firing.subjects(of)) for told, of in zip(expected, (window, quiet), strict=True))
    if missing > 0:
        raise Transient(f"ClickHouse lacks {missing} of the subjects so far: the job `store` has not written them yet")
    return firing.gathered(window, quiet)


def _window(history: History, rule: RuleVersion) -> list[Match]:
    at, within = history.change.changed_at, rule.spec.within
    after = max(at - within, rule.window_since - 1)
    return firing.firing_window((Match(*row) for row in history.matches(after, at + within)), at, within)


def _quiet(history: History, cooldown: int) -> list[Match]:
    told = history.told()
    firings = [one for one in told if one.kind != "resolved"]
    longest = max([cooldown, *(one.cooldown_until - one.at for one in firings)])
    rows = history.matches(since=told[0].offset) if told else []
    return firing.kept_quiet((Match(*row) for row in rows), [one.at for one in firings], longest)


def items(history: History, found: Sequence[Match], dataset: str, *, patient: bool) -> Iterator[DatasetItem]:
    """Yields an item for every subject that never was in the dataset, with its fields: what a person removed stays removed.

    Fields that are not stored are waited for, if `patient`, else left empty.

    Raises:
        Transient: fields of a subject are not stored yet, or ClickHouse is away.
        Permanent: ClickHouse will never answer.
    """
    change = history.change
    for kind, of_kind in groupby(sorted(found, key=_kind), key=_kind):
        ones = list(of_kind)
        for page in (ones[start : start + PAGE] for start in range(0, len(ones), PAGE)):
            new = _new(history, dataset, page)
            said = history.fields(kind, [match.subject_id for match in new], [match.trace_id for match in new])
            if patient and kind != "session" and len(said) < len(new):
                raise Transient(f"ClickHouse lacks the fields of {len(new) - len(said)} {kind}s so far")
            for match in new:
                yield _item(change, dataset, match, said.get(match.subject_id, b"{}"))


def _new(history: History, dataset: str, page: Sequence[Match]) -> list[Match]:
    known = history.known(dataset, [_item_id(history.change, dataset, match) for match in page])
    return [match for match in page if _item_id(history.change, dataset, match) not in known]


def _item_id(change: AlertChange, dataset: str, match: Match) -> str:
    return dataset_item_id(change.project, dataset, f"{match.subject_kind}:{match.subject_id}")


def _kind(match: Match) -> str:
    return match.subject_kind


def _item(change: AlertChange, dataset: str, match: Match, fields: bytes) -> DatasetItem:
    return DatasetItem.model_validate(
        {
            "project": change.project,
            "dataset": dataset,
            "item_id": _item_id(change, dataset, match),
            "subject_kind": match.subject_kind,
            "subject_id": match.subject_id,
            "trace_id": match.trace_id,
            "added_by": f"rule {change.rule}",
            "added_at": change.changed_at,
            "fields": fields,
        }
    )


class Gatherer:
    """Adds to datasets what alert changes gathered. Connects to ClickHouse and Kafka when there is something to add."""

    def __init__(self, settings: Settings, job: str) -> None:
        self._settings, self._job = settings, job
        self._clickhouse: ClickHouse | None = None
        self._producer: AsyncProducer | None = None

    async def add(self, change: AlertChange, rule: RuleVersion, dataset: str, *, patient: bool) -> tuple[int, int]:
        """Adds what a change gathered and returns, when Kafka has acknowledged it, how many subjects were new, and how many there were.

        Raises:
            Transient: something is not stored yet, or a server is away.
            Permanent: it never can be added; the reason says what to do.
        """
        made, gathered = await asyncio.to_thread(self._items, change, rule, dataset, patient=patient)
        if made:
            producer = await self._ready()
            await (await producer.send([_out(item) for item in made]))
        return len(made), gathered

    def _items(
        self, change: AlertChange, rule: RuleVersion, dataset: str, *, patient: bool
    ) -> tuple[list[DatasetItem], int]:
        history = History(self._connected(), change)
        found = subjects(history, rule)
        return list(items(history, found, dataset, patient=patient)), len(found)

    def _connected(self) -> ClickHouse:
        if self._clickhouse is None:
            url = self._settings.clickhouse_url.get_secret_value()
            try:
                self._clickhouse = connect(url, self._settings.clickhouse_database)
            except ValueError as error:
                raise Permanent(f"VEDETTE_CLICKHOUSE_URL where deliver runs: {error}") from error
        return self._clickhouse

    async def _ready(self) -> AsyncProducer:
        if self._producer is None:
            producer = AsyncProducer(self._settings, self._job)
            await asyncio.to_thread(schema_topic.publish, self._settings, producer.producer, DatasetItem)
            self._producer = producer
        return self._producer


def _out(item: DatasetItem) -> Out:
    key = record_key(item.project, item.dataset, item.item_id)
    return Out(Topic.DATASET_ITEMS, key, item, headers=(("vedette-project", item.project.encode()),)).encoded()
