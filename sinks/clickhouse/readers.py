"""Users of ClickHouse that may read the rows of one project and nothing else.

A reader has a SELECT on each of our tables and views, and on each table a row policy. Views run with the rights of who asks, so the policies
hold behind them. It is read-only; its limits are maxima that no setting of a query raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import columns, shipped, views

PREFIX = "vedette_reader_"
LIMITS: Mapping[str, int] = {
    "max_memory_usage": 512 * 1024 * 1024,
    "max_execution_time": 60,
    "max_concurrent_queries_for_user": 8,
}
"""Of one query: bytes of memory, seconds; and how many queries at once. 0 would be none, so 1 is the least."""
SYSTEM = ("system.settings",)
"""A driver learns at connect which settings the server knows."""


@dataclass(frozen=True)
class Reader:
    """One such user. The password is 192 random bits: its plain SHA-256 may be kept."""

    name: str
    project: str
    password_sha256: str

    @property
    def condition(self) -> str:
        """The condition of its row policies."""
        return f"project = {_text(self.project)}"


def tables() -> list[str]:
    """Returns our tables that hold rows of projects."""
    return [table for table, of in columns(shipped()).items() if "project" in of]


def create(clickhouse: ClickHouse, reader: Reader, cluster: str = "") -> None:
    """Makes a user by SQL. One that is there already, from a call that was cut short, is completed.

    Raises:
        Transient, Permanent: the server's failure; without the right to make users too.
    """
    for statement in creation(reader, clickhouse.database, cluster):
        clickhouse.execute(statement)


def drop(clickhouse: ClickHouse, name: str, cluster: str = "") -> None:
    """Removes a user and its policies by SQL; what is not there needs no removal. Raises as `create` does."""
    for statement in removal(name, clickhouse.database, cluster):
        clickhouse.execute(statement)


def creation(reader: Reader, database: str, cluster: str = "") -> list[str]:
    """Returns the statements that make a user: its policies come before its grants, so that it never sees more.

    Of the two policies of a table one allows the project's rows, the other forbids all else, whatever other policies allow.
    """
    name, on = reader.name, _on(cluster)
    limits = ", ".join(f"{setting} = {value} MIN 1 MAX {value}" for setting, value in LIMITS.items())
    secret = f"IDENTIFIED WITH sha256_hash BY '{reader.password_sha256}'"
    policies = [
        f"CREATE ROW POLICY IF NOT EXISTS {policy}{on} ON {database}.{table} FOR SELECT USING {reader.condition} AS {kind} TO {name}"
        for table in tables()
        for policy, kind in ((name, "PERMISSIVE"), (f"{name}_only", "RESTRICTIVE"))
    ]
    grants = [f"GRANT{on} SELECT ON {what} TO {name}" for what in _readable(database)]
    return [f"CREATE USER IF NOT EXISTS {name}{on} {secret} SETTINGS readonly = 2, {limits}", *policies, *grants]


def removal(name: str, database: str, cluster: str = "") -> list[str]:
    """Returns the statements that remove a user, the user first."""
    policies = [(policy, table) for table in tables() for policy in (name, f"{name}_only")]
    return [
        f"DROP USER IF EXISTS {name}{_on(cluster)}",
        *(f"DROP ROW POLICY IF EXISTS {policy}{_on(cluster)} ON {database}.{table}" for policy, table in policies),
    ]


def users_xml(reader: Reader, database: str) -> str:
    """Returns the element of `users.xml` for a server that takes its users from there; its profile `project_reader` has the limits."""
    grants = "".join(f"<query>GRANT SELECT ON {what}</query>" for what in _readable(database))
    policies = "".join(f"<{table}><filter>{escape(reader.condition)}</filter></{table}>" for table in tables())
    return (
        f"<{reader.name}><password_sha256_hex>{reader.password_sha256}</password_sha256_hex>"
        f"<networks><ip>127.0.0.1</ip></networks><profile>project_reader</profile><quota>default</quota>"
        f"<grants>{grants}</grants><databases><{database}>{policies}</{database}></databases></{reader.name}>"
    )


def _readable(database: str) -> list[str]:
    return [*SYSTEM, *(f"{database}.{name}" for name in (*tables(), *views(shipped())))]


def _on(cluster: str) -> str:
    return f" ON CLUSTER '{cluster}'" if cluster else ""


def _text(value: str) -> str:
    """A literal of SQL. Names of projects have no control characters."""
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"
