"""Brings the database to what this release needs: numbered files, applied in order, never changed afterwards.

Every statement may run twice (`IF NOT EXISTS`), so a migration that was cut short, or that two processes apply at once, is harmless.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files

from sinks.clickhouse.client import ClickHouse

KEPT_WITH: Mapping[str, str] = {
    "spans": "spans",
    "trace_tags": "spans",
    "examples": "spans",
    "scores": "scores",
    "matches": "scores",
    "alerts": "alerts",
    "alert_changes": "alerts",
    "deliveries": "alerts",
}
"""By table: what its rows are kept like. Tables that stand not here keep their rows for ever."""
DAYS: Mapping[str, int] = {"spans": 90, "scores": 90, "alerts": 400}

_LEDGER = """
CREATE TABLE IF NOT EXISTS {database}.migrations {cluster} (
  name String,
  checksum String,
  applied_at DateTime('UTC')
) ENGINE = {R}ReplacingMergeTree
ORDER BY (name, checksum)
"""
_APPLIED = "INSERT INTO {ours:Identifier}.migrations SELECT {name:String}, {checksum:String}, now()"

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS \{database\}\.(\w+) \{cluster\} \(\n(.*?)\n\) ENGINE", re.DOTALL)
_COLUMN = re.compile(r"^  (?!INDEX )(\w+) (.+?)(?: (?:CODEC|DEFAULT)\(?.*?)?,?$", re.MULTILINE)
_VIEW = re.compile(r"CREATE OR REPLACE VIEW \{database\}\.(\w+) ")
_TTL = re.compile(r"^TTL (.+)$", re.MULTILINE)
_NAMED = re.compile(r"\{database\}\.(\w+)")
_ADDED = re.compile(
    r"ALTER TABLE \{database\}\.(\w+) \{cluster\} ADD COLUMN IF NOT EXISTS (\w+) (.+?)(?: (?:CODEC|DEFAULT|AFTER)\b.*)?$"
)


class MigrationRefused(Exception):
    """The database was made by other text than this release ships; the message names the migration."""


@dataclass(frozen=True)
class Migration:
    """A numbered file of statements with placeholders."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text with its placeholders, so that a cluster or another retention changes nothing."""
        return sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        """Returns the statements, without comments."""
        lines = (line for line in self.text.splitlines() if not line.startswith("--"))
        return [statement.strip() for statement in ("\n".join(lines) + "\n").split(";\n") if statement.strip()]


@dataclass(frozen=True)
class Flavour:
    """What an installation decides about its tables."""

    cluster: str = ""
    """Name of a cluster of replicated tables; empty for one server."""
    days: Mapping[str, int] = field(default_factory=lambda: dict(DAYS))
    """How long rows are kept: of spans, scores and alerts, and of what is kept with them."""

    def filled(self, statement: str, database: str, table: str = "") -> str:
        """Returns a statement with its placeholders replaced; retention is that of `table`, else of the table it names."""
        named = _NAMED.search(statement)
        days = self.days.get(KEPT_WITH.get(table or (named[1] if named else ""), ""))
        values = {
            "database": database,
            "cluster": f"ON CLUSTER '{self.cluster}'" if self.cluster else "",
            "R": "Replicated" if self.cluster else "",
            "retention_days": str(days),
            "history_days": str(days),
        }
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], statement)


def shipped() -> list[Migration]:
    """Returns the migrations of this release in order."""
    folder = files("sinks.clickhouse").joinpath("migrations")
    found = [Migration(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in folder.iterdir()]
    return sorted(found, key=lambda migration: migration.name)


def pending(clickhouse: ClickHouse, migrations: Sequence[Migration] | None = None) -> list[Migration]:
    """Returns the migrations that have not been applied.

    Raises:
        MigrationRefused: one that has been applied was changed since.
        Transient, Permanent: the server's failure.
    """
    migrations = shipped() if migrations is None else migrations
    applied = _applied(clickhouse)
    changed = _changed(migrations, applied)
    if changed:
        raise MigrationRefused(f"{', '.join(changed)}: changed since it was applied; add a new migration instead")
    return [migration for migration in migrations if migration.name not in applied]


def migrate(
    clickhouse: ClickHouse, flavour: Flavour = Flavour(), migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Makes the database if need be, applies what is pending and returns its names. Another retention than before is set.

    Raises as `pending` does, and before anything was applied.
    """
    _run(clickhouse, flavour, "CREATE DATABASE IF NOT EXISTS {database} {cluster}")
    _run(clickhouse, flavour, _LEDGER)
    migrations = shipped() if migrations is None else migrations
    todo = pending(clickhouse, migrations)
    for migration in todo:
        for statement in migration.statements():
            _run(clickhouse, flavour, statement)
        clickhouse.execute(_APPLIED, {"name": migration.name, "checksum": migration.checksum})
    for table, retention in _other_retentions(clickhouse, flavour, migrations).items():
        _run(clickhouse, flavour, f"ALTER TABLE {{database}}.{table} {{cluster}} MODIFY TTL {retention}")
    return [migration.name for migration in todo]


def check(
    clickhouse: ClickHouse, migrations: Sequence[Migration] | None = None, flavour: Flavour | None = None
) -> list[str]:
    """Returns what differs between the database and what the migrations make, a sentence each; nothing when all is well.

    With a flavour, retention is compared too.

    Raises:
        Transient, Permanent: the server's failure.
    """
    migrations = shipped() if migrations is None else migrations
    applied = _applied(clickhouse)
    known = {migration.name for migration in migrations}
    missing = [migration for migration in migrations if migration.name not in applied]
    done = [migration for migration in migrations if migration.name in applied]
    actual = _actual(clickhouse)
    kept = _other_retentions(clickhouse, flavour, done) if flavour else {}
    return [
        *(f"migration {migration.name} is missing: run `vedette migrate`" for migration in missing),
        *(f"migration {name} was changed since it was applied" for name in _changed(migrations, applied)),
        *(f"migration {name} is not of this release: a newer one made it" for name in sorted(applied.keys() - known)),
        *_drift(columns(done), actual, exact=known >= applied.keys()),
        *(f"view {view} does not exist" for view in views(done) if view not in actual),
        *(
            f"{table} is not kept as VEDETTE_RETENTION says ({ttl}): run `vedette migrate`"
            for table, ttl in kept.items()
        ),
    ]


def columns(migrations: Iterable[Migration]) -> dict[str, dict[str, str]]:
    """Returns the types of the columns that migrations make, by table and column, in the order of their definition."""
    made: dict[str, dict[str, str]] = {}
    for migration in migrations:
        for statement in migration.statements():
            if found := _TABLE.match(statement):
                made[found[1]] = dict(_COLUMN.findall(found[2]))
            elif found := _ADDED.match(statement):
                made[found[1]][found[2]] = found[3]
    return made


def views(migrations: Iterable[Migration]) -> list[str]:
    """Returns the names of the views that migrations make."""
    found = (_VIEW.match(statement) for migration in migrations for statement in migration.statements())
    return list(dict.fromkeys(view[1] for view in found if view))


def retentions(migrations: Iterable[Migration]) -> dict[str, str]:
    """Returns the TTL expressions of tables, with placeholders, as ClickHouse prints them."""
    statements = (statement for migration in migrations for statement in migration.statements())
    found = ((_TABLE.match(statement), _TTL.search(statement)) for statement in statements)
    return {table[1]: ttl[1] for table, ttl in found if table and ttl}


def _run(clickhouse: ClickHouse, flavour: Flavour, statement: str) -> None:
    clickhouse.execute(flavour.filled(statement, clickhouse.database))


def _other_retentions(clickhouse: ClickHouse, flavour: Flavour, migrations: Iterable[Migration]) -> dict[str, str]:
    """The TTL expressions by table that are not those of the server: `CREATE TABLE IF NOT EXISTS` leaves them as they are."""
    engines = {
        str(name): str(engine)
        for name, engine in clickhouse.rows(
            "SELECT name, engine_full FROM system.tables WHERE database = {ours:String}"
        )
    }
    filled = {
        table: flavour.filled(retention, clickhouse.database, table)
        for table, retention in retentions(migrations).items()
    }
    return {
        table: ttl for table, ttl in filled.items() if table in engines and f"TTL {ttl} " not in engines[table] + " "
    }


def _applied(clickhouse: ClickHouse) -> dict[str, set[str]]:
    """Checksums by name; nothing when the database or its ledger does not exist."""
    exists = clickhouse.rows(
        "SELECT 1 FROM system.tables WHERE database = {ours:String} AND name = 'migrations'",
    )
    applied: dict[str, set[str]] = {}
    if exists:
        for name, checksum in clickhouse.rows("SELECT name, checksum FROM {ours:Identifier}.migrations"):
            applied.setdefault(name, set()).add(checksum)
    return applied


def _changed(migrations: Iterable[Migration], applied: Mapping[str, set[str]]) -> list[str]:
    return [m.name for m in migrations if applied.get(m.name, {m.checksum}) != {m.checksum}]


def _actual(clickhouse: ClickHouse) -> dict[str, dict[str, str]]:
    actual: dict[str, dict[str, str]] = {}
    for table, name, kind in clickhouse.rows(
        "SELECT table, name, type FROM system.columns WHERE database = {ours:String} ORDER BY table, position",
    ):
        actual.setdefault(table, {})[name] = kind
    return actual


def _drift(
    expected: Mapping[str, Mapping[str, str]], actual: Mapping[str, Mapping[str, str]], *, exact: bool
) -> Iterable[str]:
    for table, wanted in expected.items():
        found = actual.get(table)
        if found is None:
            yield f"table {table} does not exist"
            continue
        for name in sorted(wanted.keys() | found.keys()):
            if name not in found:
                yield f"{table}.{name} does not exist; the migrations make it {wanted[name]}"
            elif name not in wanted and exact:
                yield f"{table}.{name} is not made by any migration"
            elif name in wanted and found[name] != wanted[name]:
                yield f"{table}.{name} is {found[name]}; the migrations make it {wanted[name]}"
