"""One setting for topics and tables that exist: told by `--check`, applied by `topics` and `migrate`."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from typer.testing import CliRunner

from schemas.topics import DAY_MS, Topic
from sinks.clickhouse.client import connect
from streams import kafka as clients
from streams import topics
from streams.cli.app import app
from streams.settings import Settings

pytestmark = pytest.mark.integration


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_another_retention_is_told_and_applied_to_topics_and_tables_that_exist(
    kafka: str, clickhouse: str, database: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"BOOTSTRAP_SERVERS": kafka, "CLICKHOUSE_URL": clickhouse, "CLICKHOUSE_DATABASE": database}
    for name, value in {**told, "TOPIC_PREFIX": topic_prefix, "PARTITIONS": "1"}.items():
        monkeypatch.setenv(f"VEDETTE_{name}", value)
    run("topics")
    run("migrate")
    run("topics", "--check")
    run("migrate", "--check")

    monkeypatch.setenv("VEDETTE_RETENTION", "raw=1d,spans=5d")
    drift = run("topics", "--check", code=3)
    assert f"{topic_prefix}otlp_spans" in drift
    assert f"retention.ms is {3 * DAY_MS}, not {DAY_MS}" in drift
    assert "run `vedette topics`" in drift
    assert f"{topic_prefix}vedette.alerts" not in drift
    assert "spans is not kept as VEDETTE_RETENTION says (toDateTime(ingested_at) + toIntervalDay(5))" in run(
        "migrate", "--check", code=3
    )
    assert f"{topic_prefix}vedette.spans\n" in run("topics")
    run("migrate")
    run("topics", "--check")
    run("migrate", "--check")
    assert "all are kept as long as before" in run("topics")


def test_what_somebody_set_on_a_topic_beside_its_retention_stays(kafka: str, topic_prefix: str) -> None:
    settings = Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=1)
    topics.create(settings)
    name = clients.topic_name(settings, Topic.OTLP_SPANS)
    zstd = ConfigEntry("compression.type", "zstd", incremental_operation=AlterConfigOpType.SET)
    change_it(settings, ConfigResource(ResourceType.TOPIC, name, incremental_configs=[zstd]))
    changed = settings.model_copy(update={"retention": "raw=2d"})
    wait_until(lambda: configured(settings, name)["compression.type"] == "zstd")
    assert set(topics.retain(changed)) == {name, clients.topic_name(settings, Topic.OTLP_LOGS)}
    has = configured(settings, name)
    assert (has["retention.ms"], has["compression.type"]) == (str(2 * DAY_MS), "zstd")


def configured(settings: Settings, name: str) -> dict[str, str | None]:
    admin, asked = clients.admin(settings), ConfigResource(ResourceType.TOPIC, name)
    return {key: entry.value for key, entry in admin.describe_configs([asked])[asked].result(30).items()}


def wait_until(done: Callable[[], bool]) -> None:
    """A broker acknowledges a change of configuration before it shows it."""
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def change_it(settings: Settings, resource: ConfigResource) -> None:
    admin = clients.admin(settings)
    (done,) = admin.incremental_alter_configs([resource]).values()
    done.result(30)


def test_the_local_clickhouse_has_no_log_tables_that_grow_by_themselves(clickhouse: str) -> None:
    server = connect(clickhouse)
    logs = server.rows("SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'")
    server.close()
    assert logs == []
