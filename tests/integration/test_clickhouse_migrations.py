"""Migrations on a real ClickHouse."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import (
    KEPT_WITH,
    Flavour,
    Migration,
    MigrationRefused,
    check,
    columns,
    migrate,
    pending,
    shipped,
)
from sinks.sink import Transient

pytestmark = pytest.mark.integration

NAMES = [migration.name for migration in shipped()]


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = connect(clickhouse, database)
    yield connected
    connected.close()


def test_a_new_database_lacks_every_migration_and_has_them_after_migrate(server: ClickHouse) -> None:
    assert check(server) == [f"migration {name} is missing: run `vedette migrate`" for name in NAMES]
    assert [migration.name for migration in pending(server)] == NAMES
    assert migrate(server) == NAMES
    assert (check(server), pending(server), migrate(server)) == ([], [], [])


def test_the_database_itself_is_made(clickhouse: str, database: str) -> None:
    server = connect(clickhouse, f"{database}_new")
    try:
        assert migrate(server) == NAMES
        assert check(server) == []
    finally:
        server.execute(f"DROP DATABASE {database}_new SYNC")
        server.close()


def test_two_that_migrate_at_once_do_no_harm(clickhouse: str, database: str) -> None:
    servers = [connect(clickhouse, database) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(migrate, servers))
    assert set().union(*done) == set(NAMES)
    assert [check(server) for server in servers] == [[]] * 4
    for server in servers:
        server.close()


def test_a_migration_cut_short_is_finished_by_the_next_run(server: ClickHouse) -> None:
    first = shipped()[0]
    server.execute(Flavour().filled(first.statements()[0], server.database))
    assert migrate(server) == NAMES
    assert check(server) == []


def test_a_changed_migration_is_refused_by_name_and_nothing_is_applied(server: ClickHouse) -> None:
    first, *rest = shipped()
    migrate(server, migrations=[first])
    changed = [replace(first, text=first.text + "-- edited\n"), *rest]
    for refuse in (pending, lambda c, m: migrate(c, migrations=m)):
        with pytest.raises(MigrationRefused, match=r"^0001_spans: changed since it was applied"):
            refuse(server, changed)
    assert check(server, changed)[-1] == "migration 0001_spans was changed since it was applied"
    assert [m.name for m in pending(server)] == NAMES[1:]


def test_a_database_of_a_newer_release_is_told_and_still_works(server: ClickHouse) -> None:
    newer = Migration("9999_more", "ALTER TABLE {database}.spans {cluster} ADD COLUMN IF NOT EXISTS more String;\n")
    migrate(server, migrations=[*shipped(), newer])
    assert check(server, [*shipped(), newer]) == []
    assert pending(server) == []
    assert check(server) == ["migration 9999_more is not of this release: a newer one made it"]


def test_tables_that_were_changed_by_hand_are_told(server: ClickHouse) -> None:
    migrate(server)
    for statement in ("DROP COLUMN cause", "ADD COLUMN mine String", "MODIFY COLUMN severity String"):
        server.execute(f"ALTER TABLE {server.database}.alerts {statement}")
    server.execute(f"DROP TABLE {server.database}.deliveries SYNC")
    assert check(server) == [
        "alerts.cause does not exist; the migrations make it String",
        "alerts.mine is not made by any migration",
        "alerts.severity is String; the migrations make it LowCardinality(String)",
        "table deliveries does not exist",
    ]


def test_the_columns_read_from_the_files_are_those_that_the_server_made(server: ClickHouse) -> None:
    migrate(server)
    made: dict[str, dict[str, str]] = {}
    for table, name, kind in server.rows(
        "SELECT table, name, type FROM system.columns WHERE database = {ours:String} AND table NOT IN ('migrations', 'traces', 'scores_1m') ORDER BY position"
    ):
        made.setdefault(table, {})[name] = kind
    assert made == columns(shipped())


def test_another_retention_is_told_by_check_and_set_by_the_next_run(server: ClickHouse) -> None:
    migrate(server, Flavour(days={"spans": 30, "scores": 30, "alerts": 30}))
    wanted = Flavour(days={"spans": 7, "scores": 30, "alerts": 100})
    assert [told.partition(" (")[0] for told in check(server, flavour=wanted)] == [
        f"{table} is not kept as VEDETTE_RETENTION says"
        for table in ("spans", "examples", "alerts", "alert_changes", "deliveries", "trace_tags")
    ]
    migrate(server, wanted)
    kept = server.rows(
        "SELECT name, extract(engine_full, 'toIntervalDay\\\\((\\\\d+)\\\\)') FROM system.tables "
        "WHERE database = {ours:String} AND engine_full LIKE '%TTL%' ORDER BY name"
    )
    assert kept == [(table, str(wanted.days[name])) for table, name in sorted(KEPT_WITH.items())]
    assert check(server, flavour=wanted) == []


def test_a_view_that_was_dropped_is_told(server: ClickHouse) -> None:
    migrate(server)
    server.execute(f"DROP VIEW {server.database}.traces SYNC")
    assert check(server) == ["view traces does not exist"]


def test_the_statements_for_a_cluster_are_understood(server: ClickHouse) -> None:
    cluster = Flavour(cluster="main")
    for statement in (statement for migration in shipped() for statement in migration.statements()):
        filled = cluster.filled(statement, server.database)
        ((told,),) = server.rows("SELECT formatQuerySingleLine({statement:String})", {"statement": filled})
        assert " ON CLUSTER main" in told
        assert "ENGINE = ReplicatedReplacingMergeTree(version)" in told or not told.startswith("CREATE TABLE")


def test_the_reading_user_sees_ours_and_nothing_else(server: ClickHouse, clickhouse_read: str) -> None:
    migrate(server)
    reader = connect(clickhouse_read, server.database)
    assert reader.rows("SELECT count() FROM {ours:Identifier}.spans FINAL") == [(0,)]
    for forbidden in (
        "INSERT INTO {ours:Identifier}.spans (project) VALUES ('p')",
        "DROP TABLE {ours:Identifier}.spans",
        "SELECT * FROM system.users",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "CREATE TABLE default.t (a String) ENGINE = Memory",
    ):
        with pytest.raises(Transient, match=r"ACCESS_DENIED|READONLY"):
            reader.execute(forbidden)
    with pytest.raises(Transient):
        reader.execute("SELECT * FROM file('/etc/passwd', CSV, 'a String')")
    reader.close()
