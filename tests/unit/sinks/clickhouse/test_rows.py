from dataclasses import dataclass

import pytest

from schemas.alert import AlertChange
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.record import Record
from schemas.rule import Command, Evaluated, RuleEvent, Tick
from sinks.clickhouse import rows
from sinks.clickhouse.migrate import columns, shipped


@dataclass(frozen=True)
class Stored:
    record: Record | None
    offset: int = 7
    partition: int = 3
    ingested_at: int = 1_795_000_000_000


def change(number: int = 0) -> AlertChange:
    return AlertChange(
        project="p",
        rule="r",
        rule_version="v",
        alert_id="a",
        change=number,
        kind="fired",
        state="firing",
        fired_at=1,
        changed_at=2,
    )


def delivery(state: str, attempts: int = 0, changed_at: int = 9) -> Delivery:
    values = {"project": "p", "destination": "d", "alert_id": "a", "change": 0, "state": state}
    return Delivery(**values, attempts=attempts, changed_at=changed_at)


def event(*evaluated: Evaluated, command: Command | None = None) -> RuleEvent:
    return RuleEvent(
        project="p", rule="r", rule_version="v", group_key='{"agent":"a"}', evaluated=evaluated, command=command
    )


def subject(name: str, *, matched: bool = True) -> Evaluated:
    return Evaluated(subject_kind="span", subject_id=name, ingested_at=6, matched=matched)


ONE_OF_EACH = {
    "examples": Example(project="p", example_id="e", fields=b"{}"),
    "matches": event(subject("t:s")),
    "alerts": change(),
    "alert_changes": change(),
    "deliveries": delivery("sent"),
    "dataset_items": DatasetItem(project="p", dataset="d", item_id="i", subject_kind="span", subject_id="t:s"),
}


@pytest.mark.parametrize("table", rows.ROWS)
def test_a_record_gives_exactly_the_columns_that_the_migrations_make(table: str) -> None:
    given = rows.ROWS[table][1]([Stored(ONE_OF_EACH[table])])
    assert given.keys() == columns(shipped())[table].keys()
    assert {len(column) for column in given.values()} == {1}


@pytest.mark.parametrize("table", rows.ROWS)
def test_what_is_not_stored_gives_no_rows(table: str) -> None:
    given = rows.ROWS[table][1]([Stored(None), Stored(Tick(job="count"))])
    assert {len(column) for column in given.values()} == {0}


def test_an_alert_shows_its_newest_change() -> None:
    versions = [rows.alerts([Stored(change(number), 100 - number)])["version"][0] for number in range(5)]
    assert versions == sorted(versions)


def test_a_state_that_ends_a_delivery_stays_over_a_late_pending_one() -> None:
    in_order = [
        rows.deliveries([Stored(delivery(state, attempts), offset)])["version"][0]
        for state, attempts, offset in [
            ("pending", 0, 90),
            ("pending", 1, 4),
            ("failed", 0, 1),
            ("suppressed", 1, 1),
            ("sent", 1, 2),
            ("sent", 2, 0),
        ]
    ]
    assert in_order == sorted(in_order)
    assert len(set(in_order)) == len(in_order)


def test_a_delivery_without_a_time_takes_that_of_its_record_so_that_retention_spares_it() -> None:
    given = rows.deliveries([Stored(delivery("pending", changed_at=0)), Stored(delivery("pending", changed_at=4))])
    assert given["changed_at"] == [1_795_000_000_000, 4]


def test_only_matched_subjects_are_matches_and_keep_their_position() -> None:
    message = Stored(event(subject("t:1"), subject("t:2", matched=False), subject("t:3")), offset=40, partition=2)
    given = rows.matches([message, Stored(event(command=Command(command_id="c", action="resolve", alert_id="a")))])
    told = [given[name] for name in ("subject_id", "group_key", "partition", "offset", "position")]
    assert told == [["t:1", "t:3"], ['{"agent":"a"}'] * 2, [2, 2], [40, 40], [0, 2]]


def test_an_examples_ingest_time_is_that_of_its_record() -> None:
    given = rows.examples([Stored(ONE_OF_EACH["examples"], ingested_at=1_795_000_000_777)])
    assert given["ingested_at"] == [1_795_000_000_777]


def test_of_a_dataset_item_the_last_word_stays_and_without_a_time_it_has_that_of_its_record() -> None:
    item = DatasetItem(project="p", dataset="d", item_id="i", subject_kind="span", subject_id="t:s")
    told = rows.dataset_items([Stored(item, offset=8), Stored(item.model_copy(update={"removed": True}), offset=9)])
    assert told["removed"] == [False, True]
    assert told["version"][0] < told["version"][1]
    assert told["added_at"] == [1_795_000_000_000] * 2
