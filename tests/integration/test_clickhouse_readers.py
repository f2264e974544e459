"""Users that read one project: made by the command, attacked on a real ClickHouse, removed by the command."""

import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from schemas.documents.key import new_key
from sinks.clickhouse import readers
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.readers import Reader
from sinks.sink import Permanent, Transient
from streams.api.readers import Files, Place, make, remove
from streams.api.readers import NewReader as New
from streams.cli.app import app
from streams.local import clickhouse as clickhouse_server
from streams.local.ports import free_port
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

OTHER = "o'ther \\ <filter>"
"""A project whose name would end a literal or an element that is put together carelessly."""
ROWS = """
INSERT INTO vedette.spans (project, trace_id, span_id, origin, start_time, ingested_at, input, version)
SELECT {project:String}, concat('t-', {project:String}), 's', 'online', now64(6), now64(3), concat('secret of ', {project:String}), 1
"""

OWN_ROWS_ONLY = (
    "SELECT project, input FROM vedette.spans FINAL",
    "SELECT project, input FROM vedette.traces",
    "SELECT b.project, b.input FROM vedette.spans a RIGHT JOIN vedette.spans b ON 1 = 1",
    "SELECT project FROM vedette.spans UNION ALL SELECT project FROM vedette.traces",
    "SELECT * FROM merge('vedette', '.*')",
    "SELECT * FROM view(SELECT project, input FROM vedette.spans)",
    "SELECT min(project), max(project) FROM vedette.spans SETTINGS optimize_use_implicit_projections = 1",
    "SELECT project FROM vedette.spans SETTINGS additional_table_filters = {'vedette.spans': '1 OR 1'}",
    "SELECT project FROM vedette.spans FINAL SETTINGS apply_row_policy_after_final = 0",
    "SELECT project FROM vedette.spans SETTINGS use_query_cache = 1, query_cache_share_between_users = 1",
    "SELECT count() FROM vedette.spans SETTINGS optimize_trivial_count_query = 1",
    "SELECT input FROM vedette.spans PREWHERE throwIf(project != 'mine') = 0",
    "EXPLAIN ESTIMATE SELECT * FROM vedette.spans",
)
REFUSED = (
    "SELECT * FROM remote('127.0.0.1', vedette.spans, 'vedette', '')",
    "SELECT * FROM cluster('default', vedette.spans)",
    "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
    "SELECT * FROM file('/etc/passwd', CSV, 'a String')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM executable('cat', TSV, 'a String')",
    "SELECT * FROM mergeTreeIndex(vedette, spans)",
    "SELECT * FROM loop(vedette, spans) LIMIT 1",
    "SELECT * FROM dictionary('vedette.d')",
    "CREATE DICTIONARY vedette.d (a String) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 'spans')) LAYOUT(FLAT()) LIFETIME(1)",
    "CREATE TEMPORARY TABLE x AS SELECT * FROM vedette.spans",
    "CREATE VIEW vedette.x AS SELECT * FROM vedette.spans",
    "CREATE ROW POLICY p ON vedette.spans USING 1 TO ALL",
    "INSERT INTO vedette.spans (project) VALUES ('mine')",
    "ALTER TABLE vedette.spans DELETE WHERE 1",
    "SELECT * FROM vedette.migrations",
    "SELECT * FROM system.parts",
    "SELECT * FROM system.processes",
    "SELECT * FROM system.row_policies",
    "SELECT * FROM system.users",
    "SELECT * FROM system.query_cache",
    "EXECUTE AS vedette SELECT * FROM vedette.spans",
    "SET readonly = 0",
    *(f"SELECT 1 SETTINGS {setting} = {value}" for setting, most in readers.LIMITS.items() for value in (0, most + 1)),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """A server of its own: it starts anew when its users change."""
    server = clickhouse_server.start(home)
    owner = connect(server.login())
    migrate(owner)
    for project in ("mine", OTHER):
        owner.execute(ROWS, {"project": project})
    owner.close()
    yield server.login()
    clickhouse_server.stop(server)


@pytest.fixture(scope="module")
def place(home: Path, url: str) -> Place:
    return Files(clickhouse_server.readers(home), url, "vedette")


def entered(url: str, name: str, password: str) -> ClickHouse:
    return connect(f"http://{name}:{password}@{url.rpartition('@')[2]}")


@pytest.fixture(scope="module")
def mine(url: str, place: Place) -> Iterator[ClickHouse]:
    name, password = make(New(project="mine"), place, b"mine", b"p" * 24)
    reader = entered(url, name, password)
    yield reader
    reader.close()


@pytest.mark.parametrize("statement", OWN_ROWS_ONLY)
def test_a_reader_sees_rows_of_its_project_and_of_no_other(mine: ClickHouse, statement: str) -> None:
    told = str(mine.rows(statement))
    assert "mine" in told or told == "[(1,)]" or "'spans', 1, 1, 1" in told
    assert "ther" not in told


@pytest.mark.parametrize("statement", REFUSED)
def test_a_reader_is_refused_everything_else(mine: ClickHouse, statement: str) -> None:
    with pytest.raises((Transient, Permanent)):
        mine.rows(statement)


def test_a_project_may_be_named_as_it_likes(url: str, place: Place) -> None:
    name, password = make(New(project=OTHER), place, b"other", b"q" * 24)
    reader = entered(url, name, password)
    assert reader.rows("SELECT project FROM vedette.spans") == [(OTHER,)]
    reader.close()
    remove(place, name)
    with pytest.raises(Transient, match="Authentication failed"):
        entered(url, name, password)


def test_whoever_writes_still_reads_every_project(url: str, mine: ClickHouse) -> None:
    owner = connect(url)
    assert owner.rows("SELECT count() FROM vedette.spans") == [(2,)]
    owner.close()


def test_the_statements_for_a_server_that_makes_users_are_understood(url: str) -> None:
    owner = connect(url)
    reader = Reader(f"{readers.PREFIX}ab", OTHER, "0" * 64)
    for cluster in ("", "main"):
        for statement in (
            *readers.creation(reader, "vedette", cluster),
            *readers.removal(reader.name, "vedette", cluster),
        ):
            ((told,),) = owner.rows("SELECT formatQuerySingleLine({statement:String})", {"statement": statement})
            assert ("ON CLUSTER main" in told) == bool(cluster)
    owner.close()


def test_the_command_makes_lists_and_removes_a_reader(
    installation: Installation, url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = tmp_path / "admin"
    admin.write_text(new_key(b"s" * 32, b"admin1"))
    port = free_port()
    installation.start(
        "streams.api.job",
        bootstrap_admin_key_file=admin,
        api_port=port,
        clickhouse_url=url,
        clickhouse_readers_dir=clickhouse_server.readers(home),
    )
    monkeypatch.setenv("VEDETTE_API_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("VEDETTE_ADMIN_KEY", admin.read_text())

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["keys", *arguments])
        assert done.exit_code == code, done.output
        return done.stdout

    run("create", "--clickhouse", "--all-projects", code=2)
    made = orjson.loads(run("create", "--clickhouse", "--project", "mine", "--label", "Grafana", "-o", "json"))
    reader = connect(made["url"].replace("//", f"//{made['id']}:{made['password']}@"), made["database"])
    assert reader.rows("SELECT project FROM {ours:Identifier}.spans") == [("mine",)]
    reader.close()
    listed = {key["id"]: key for key in orjson.loads(run("ls", "-o", "json"))}
    told = {"id": made["id"], "projects": ["mine"], "scopes": ["clickhouse"], "label": "Grafana"}
    assert listed[made["id"]] == told
    run("revoke", made["id"])
    with pytest.raises(Transient):
        entered(url, made["id"], made["password"])
    assert made["id"] not in run("ls")
    kept = "".join(file.read_text() for file in tmp_path.glob("*.log"))
    assert made["password"] not in kept
    assert not any(made["password"] in str(value) for value in os.environ.values())
