import re

from sinks.clickhouse.migrate import DAYS, KEPT_WITH, Flavour, Migration, columns, retentions, shipped, views


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.name[:5] for migration in shipped()] == [f"{n:04}_" for n in range(1, len(shipped()) + 1)]


def test_every_statement_may_run_twice() -> None:
    statements = [statement for migration in shipped() for statement in migration.statements()]
    twice = re.compile(
        r"CREATE TABLE IF NOT EXISTS |ALTER TABLE \S+ \S+ (ADD|DROP) \w+ IF (NOT )?EXISTS |CREATE OR REPLACE VIEW "
    )
    assert [statement for statement in statements if not twice.match(statement)] == []


def test_every_table_keeps_one_row_of_an_identity() -> None:
    tables = [
        statement for migration in shipped() for statement in migration.statements() if "CREATE TABLE" in statement
    ]
    assert [table for table in tables if "ENGINE = {R}ReplacingMergeTree(version)\n" not in table] == []


def test_every_table_but_datasets_has_a_retention_that_can_be_set() -> None:
    told = retentions(shipped())
    assert told.keys() == KEPT_WITH.keys() == columns(shipped()).keys() - {"dataset_items"}
    assert set(KEPT_WITH.values()) == DAYS.keys()
    assert [ttl for ttl in told.values() if "_days}" not in ttl] == []


def test_every_view_runs_with_the_rights_of_who_asks() -> None:
    statements = [statement for migration in shipped() for statement in migration.statements()]
    made = [statement for statement in statements if " VIEW " in statement.partition("\n")[0]]
    assert [statement for statement in made if " SQL SECURITY INVOKER AS\n" not in statement] == []
    assert views(shipped()) == ["traces", "scores_1m"]


def test_placeholders_make_one_server_or_a_cluster() -> None:
    statement = (
        "CREATE TABLE {database}.alerts {cluster} (a Map(String, String)) ENGINE = {R}MergeTree TTL {history_days}"
    )
    one = "CREATE TABLE d.alerts  (a Map(String, String)) ENGINE = MergeTree TTL 400"
    assert Flavour().filled(statement, "d") == one
    cluster = Flavour(cluster="main", days={"alerts": 7})
    replicated = "CREATE TABLE d.alerts ON CLUSTER 'main' (a Map(String, String)) ENGINE = ReplicatedMergeTree TTL 7"
    assert cluster.filled(statement, "d") == replicated


def test_columns_are_read_from_tables_and_from_later_additions() -> None:
    made = Migration(
        "0001_a",
        "-- a comment; with a semicolon\nCREATE TABLE IF NOT EXISTS {database}.t {cluster} (\n"
        "  a DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),\n  b Map(LowCardinality(String), String),\n"
        "  c UInt8 DEFAULT 3,\n  INDEX by_a a TYPE minmax GRANULARITY 1\n) ENGINE = {R}ReplacingMergeTree(c)\nORDER BY a;\n",
    )
    later = Migration(
        "0002_b",
        "ALTER TABLE {database}.t {cluster} ADD COLUMN IF NOT EXISTS d Nullable(Float64) CODEC(ZSTD(1)) AFTER a;\n"
        "ALTER TABLE {database}.t {cluster} ADD COLUMN IF NOT EXISTS e String;\n",
    )
    assert columns([made, later]) == {
        "t": {
            "a": "DateTime64(6, 'UTC')",
            "b": "Map(LowCardinality(String), String)",
            "c": "UInt8",
            "d": "Nullable(Float64)",
            "e": "String",
        }
    }
