"""From failing spans to a dataset: the rule's jobs, deliver and store as processes on a real Kafka and a real ClickHouse."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from schemas.alert import AlertChange
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.ids import dataset_item_id, record_key
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import Writer
from streams.cli.app import app
from streams.settings import Settings
from tests.support.jobs import Installation
from tests.support.records import as_received

pytestmark = pytest.mark.integration

NOW_MS = 1_795_000_000_000
PROJECT, DATASET = "shop", "package-failures"
RULE = {
    "when": {"all": [{"metric": "error", "op": "==", "value": 1}]},
    "group_by": ["agent"],
    "times": 3,
    "within": "5m",
    "cooldown": "10m",
    "resolve_after": "6s",
    "actions": [{"dataset": DATASET}],
}


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = connect(clickhouse, database)
    migrate(connected)
    yield connected
    connected.close()


@pytest.fixture
def shop(kafka: str, clickhouse: str, database: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=topic_prefix,
        partitions=2,
        clickhouse_url=SecretStr(clickhouse),
        clickhouse_database=database,
    )
    made = Installation(settings, tmp_path)
    made.configure("Rule", "failures", RULE, PROJECT)
    made.in_effect()
    yield made
    made.stop()


def send(shop: Installation, *numbers: int, failing: bool = True, at: int) -> None:
    """One trace of one span for each number."""
    for number in numbers:
        trace = f"{number:032x}"
        span = Span(
            span_id=f"{number:016x}",
            name="chat",
            kind="llm",
            agent="Support",
            status="error" if failing else "ok",
            start_time=at * 1000,
            input=f"question {number}",
            output=f"answer {number}",
        )
        chunk = TraceChunk(project=PROJECT, trace_id=trace, ingested_at=at + number, spans=(span,))
        shop.put(Topic.SPANS, record_key(PROJECT, trace), chunk)
    shop.flush()


def subject(number: int) -> str:
    return f"{number:032x}:{number:016x}"


def stored(server: ClickHouse) -> list[str]:
    rows = server.rows(
        "SELECT subject_id FROM {ours:Identifier}.dataset_items FINAL WHERE NOT removed ORDER BY subject_id"
    )
    return [row[0] for row in rows]


def changes(shop: Installation) -> list[str]:
    return [change.kind for change in shop.records(Topic.ALERTS, AlertChange)]


def deliveries(shop: Installation) -> dict[tuple[str, int], tuple[str, str]]:
    return {(e.destination, e.change): (e.state, e.reference) for e in shop.records(Topic.DELIVERIES, Delivery)}


def test_what_fired_a_rule_goes_into_its_dataset_and_what_was_kept_quiet_with_the_next_change(
    shop: Installation, server: ClickHouse
) -> None:
    now = time.time_ns() // 1_000_000
    shop.start("match", "count", "deliver", "store")
    send(shop, 1, 2, 3, at=now)
    send(shop, 4, failing=False, at=now)
    shop.until(lambda: stored(server) == [subject(1), subject(2), subject(3)])
    send(shop, 5, 6, at=now + 60_000)  # within the cooldown
    shop.until(lambda: changes(shop) == ["fired", "resolved"])
    shop.until(lambda: stored(server) == [subject(number) for number in (1, 2, 3, 5, 6)])

    destination = f"dataset/{DATASET}"
    shop.until(lambda: deliveries(shop)[destination, 1][0] == "sent")
    assert deliveries(shop) == {
        (destination, 0): ("sent", "3 of 3 subjects were new"),
        (destination, 1): ("sent", "2 of 5 subjects were new"),
    }
    ((item, trace, by, fields),) = server.rows(
        "SELECT item_id, trace_id, added_by, fields FROM {ours:Identifier}.dataset_items FINAL WHERE subject_id = {subject:String}",
        {"subject": subject(2)},
    )
    assert (item, trace, by) == (dataset_item_id(PROJECT, DATASET, f"span:{subject(2)}"), f"{2:032x}", "rule failures")
    said = orjson.loads(fields)
    assert (said["input"], said["output"], said["agent"]) == ("question 2", "answer 2", "Support")


@pytest.mark.faults
def test_a_dataset_gets_each_subject_once_though_deliver_is_killed_and_clickhouse_is_behind(
    shop: Installation, server: ClickHouse
) -> None:
    _, _, deliver = shop.start("match", "count", "deliver")
    send(shop, 1, 2, 3, at=time.time_ns() // 1_000_000)
    shop.until(lambda: any(entry.attempts for entry in shop.records(Topic.DELIVERIES, Delivery)))
    assert shop.records(Topic.DATASET_ITEMS, DatasetItem) == []  # nobody has written the matches to ClickHouse yet
    deliver.kill()
    _, deliver = shop.start("store", "deliver")
    three = [subject(1), subject(2), subject(3)]
    shop.until(lambda: sorted(item.subject_id for item in shop.records(Topic.DATASET_ITEMS, DatasetItem)) == three)
    deliver.kill()
    (deliver,) = shop.start("deliver")
    shop.until(lambda: deliver.log().count("ledger read") == shop.settings.partitions)
    shop.until(lambda: "pending" not in {state for state, _ in deliveries(shop).values()})
    shop.until(lambda: stored(server) == three)


def test_a_dataset_is_listed_and_exported_as_jsonl_csv_and_parquet(
    shop: Installation, server: ClickHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in shop.settings.environment().items():
        monkeypatch.setenv(name, value)
    items = [
        DatasetItem(
            project=PROJECT, dataset=DATASET, item_id=str(n), subject_kind="example", subject_id=f"e{n}",
            added_by="rule failures", added_at=NOW_MS + n, fields=b'{"question":"say \\"hi\\"\\n","n":%d}' % n, removed=n == 3,
        )
        for n in (1, 2, 3)
    ]  # fmt: skip
    Writer(server).insert([as_received(Topic.DATASET_ITEMS, item) for item in items])

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["datasets", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    listed = orjson.loads(run("ls", "-o", "json"))
    assert [(one["project"], one["dataset"], one["items"]) for one in listed] == [(PROJECT, DATASET, 2)]
    lines = [orjson.loads(line) for line in run("export", DATASET, "-p", PROJECT).splitlines()]
    assert [(line["subject_id"], line["fields"]) for line in lines] == [
        ("e1", {"question": 'say "hi"\n', "n": 1}),
        ("e2", {"question": 'say "hi"\n', "n": 2}),
    ]
    rows = list(csv.DictReader(run("export", DATASET, "-p", PROJECT, "--format", "csv").splitlines()))
    assert [orjson.loads(row["fields"])["n"] for row in rows] == [1, 2]
    file = tmp_path / "items.parquet"
    run("export", DATASET, "-p", PROJECT, "--format", "parquet", "-o", str(file))
    assert file.read_bytes()[:4] == file.read_bytes()[-4:] == b"PAR1"
    missing = CliRunner().invoke(app, ["datasets", "export", "other", "-p", PROJECT])
    assert missing.exit_code == 1
    assert "project shop has no dataset 'other'; `vedette datasets ls` lists them" in missing.output
