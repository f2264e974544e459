"""A connection to ClickHouse over HTTP, and which of its failures pass by themselves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.summary import QuerySummary
from urllib3.exceptions import HTTPError

from sinks.sink import Permanent, Transient

DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}")
_STATUS = re.compile(r"HTTP status (\d+)")
_NOISE = re.compile(r" \(version [\d.]+[^()]*(\([^()]*\))?\)| \(for url [^)]*\)| with url: \S+")

REFUSED_DATA = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        43,  # ILLEGAL_TYPE_OF_ARGUMENT
        46,  # UNKNOWN_FUNCTION
        47,  # UNKNOWN_IDENTIFIER
        53,  # TYPE_MISMATCH
        62,  # SYNTAX_ERROR
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        128,  # TOO_LARGE_ARRAY_SIZE
        131,  # TOO_LARGE_STRING_SIZE
        190,  # SIZES_OF_ARRAYS_DONT_MATCH
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        469,  # VIOLATED_CONSTRAINT
    }
)
"""ClickHouse's codes for data or statements that it will refuse for ever. Every other code passes when somebody mends the server, its rights
or its schema: too many parts (252), memory (241), disk (243), read-only (164, 242), Keeper (999), access (497, 516), no such table (60)."""


@dataclass(frozen=True)
class ClickHouse:
    """One server and the database on it that is ours. Threads may share it, but not the context of an insert."""

    driver: Client
    database: str
    address: str
    """host:port, for messages."""

    def rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Returns the rows of a SELECT. `{name:Type}` in it is bound on the server, `{ours:Identifier}` is our database.

        Raises:
            Transient: the server is away, overloaded or not as it must be.
            Permanent: it will never answer this.
        """
        with failures(self.address):
            return self.driver.query(statement, parameters=self._bound(statement, parameters)).result_rows

    def column_blocks(
        self, statement: str, parameters: Mapping[str, Any] | None = None
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Yields the answer to a SELECT as blocks of columns, as they come. Binds and raises as `rows` does."""
        with failures(self.address):
            bound = self._bound(statement, parameters)
            with self.driver.query_column_block_stream(statement, parameters=bound) as blocks:
                yield from blocks

    def formatted(
        self, statement: str, form: str, parameters: Mapping[str, Any] | None = None, piece: int = 1 << 20
    ) -> Iterator[bytes]:
        """Yields the answer to a SELECT in one of ClickHouse's own formats, in pieces of bytes. Binds and raises as `rows` does."""
        with failures(self.address):
            bound = self._bound(statement, parameters)
            stream = cast("IO[bytes]", self.driver.raw_stream(statement, parameters=bound, fmt=form))
        with stream, failures(self.address):
            while read := stream.read(piece):
                yield read

    def execute(self, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Runs a statement without a result. Binds and raises as `rows` does."""
        with failures(self.address):
            self.driver.command(statement, parameters=self._bound(statement, parameters), settings={"async_insert": 0})

    def _bound(self, statement: str, parameters: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """None when nothing is to be bound: the driver would take every % of the statement for a placeholder."""
        return {"ours": self.database, **(parameters or {})} if "{" in statement else None

    def insertion(self, table: str, columns: Mapping[str, str]) -> InsertContext:
        """Returns a context for inserts into a table, to be used again and again; `columns` gives the names and types."""
        return self.driver.create_insert_context(
            table,
            database=self.database,
            column_names=list(columns),
            column_type_names=list(columns.values()),
            column_oriented=True,
            settings={"async_insert": 0},
        )

    def insert(self, context: InsertContext, columns: Sequence[Sequence[Any]]) -> None:
        """Inserts columns in the order of the context and returns when the server has written them. Raises as `rows` does."""
        with failures(self.address):
            context.data = columns
            self.driver.insert(context=context)

    def insert_read(self, statement: str, data: bytes) -> int:
        """Runs an INSERT that reads `data` by itself, on our database, and returns the number of rows written. Raises as `rows` does."""
        settings = {"async_insert": 0, "database": self.database}
        with failures(self.address):
            summary = self.driver.command(statement, data=data, settings=settings)
            return cast("QuerySummary", summary).written_rows

    def close(self) -> None:
        """Closes the connections."""
        self.driver.close()


def connect(url: str, database: str = "vedette", timeout_s: float = 60) -> ClickHouse:
    """Connects to `http(s)://user:password@host:port[/database]`; a database in the URL comes before the argument.

    The database need not exist yet. An answer may take `timeout_s` seconds.

    Raises:
        ValueError: the URL or the name of the database is none.
        Transient: the server is away or refuses the password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or (8443 if parts.scheme == "https" else 8123)
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise ValueError("not a ClickHouse URL: it must look like http://user:password@host:8123")
    database = parts.path.strip("/") or database
    if not DATABASE.fullmatch(database):
        raise ValueError(f"not a name of a database: {database!r}")
    address = f"{host}:{port}"
    with failures(address):
        driver = clickhouse_connect.get_client(
            interface=parts.scheme,
            host=host,
            port=port,
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            connect_timeout=5,
            send_receive_timeout=timeout_s,
            autogenerate_session_id=False,
            dedicated_pool=True,
            tz_mode="aware",
        )
    return ClickHouse(driver, database, address)


@contextmanager
def failures(address: str) -> Iterator[None]:
    """Turns whatever the driver raises into `Transient` or `Permanent`."""
    try:
        yield
    except (Transient, Permanent):
        raise
    except Exception as error:
        raise failure(error, address) from None  # what the driver chains may quote data


def failure(error: Exception, address: str) -> Transient | Permanent:
    """Returns what an exception of the driver means: `Permanent` for data that no server will take, else `Transient`."""
    code = error.code if isinstance(error, Error) else None
    if code is not None:
        return (Permanent if code in REFUSED_DATA else Transient)(f"ClickHouse at {address}: {_text(error)}")
    status = _STATUS.search(str(error)) if isinstance(error, Error) else None
    if status:  # a proxy's answer: ClickHouse's own carry a code
        too_large = int(status[1]) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return (Permanent if too_large else Transient)(f"the proxy before ClickHouse at {address}: {_text(error)}")
    if isinstance(error, OperationalError | HTTPError | OSError):
        return Transient(f"ClickHouse at {address} does not answer: {_text(error)}")
    return Permanent(f"cannot be written for ClickHouse: {type(error).__name__}: {_text(error)}")


def _text(error: Exception) -> str:
    return _NOISE.sub("", " ".join(str(error).split()))[:500]
