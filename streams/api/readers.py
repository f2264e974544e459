"""Users of ClickHouse that read one project: made, listed, removed. The configuration remembers them, without their passwords."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field

from schemas.config import ConfigEntry
from schemas.documents.base import Name, Strict, canonical_spec, spec_version
from sinks.clickhouse import client, readers
from sinks.clickhouse.readers import Reader
from sinks.sink import Permanent, Transient
from streams.api.auth import Caller
from streams.api.errors import Refused
from streams.logic.configuration import Configuration, Versioned
from streams.settings import Settings

KIND = "Reader"
APPEARS_WITHIN_S = 60.0
NO_PLACE = (
    "this installation cannot make users of ClickHouse: set VEDETTE_CLICKHOUSE_ADMIN_URL where the api runs to "
    "http(s)://user:password@host:port of a user that may make users (access_management, GRANT OPTION on our tables)"
)


class NewReader(Strict):
    """What a new reader may read."""

    project: Name = Field(description="whose rows")
    label: str = Field(default="", max_length=200, description="what it is for")


class ReaderSpec(Strict):
    """What is remembered of a reader. The entry's name on `vedette.config` is the user's, its project is empty."""

    project: Name
    label: str = ""


class Place(Protocol):
    """Where the users of a ClickHouse are kept."""

    def add(self, reader: Reader, password: str) -> None:
        """Makes a user and returns when it can log in."""
        ...

    def remove(self, name: str) -> None:
        """Removes a user and returns when it cannot log in any more."""
        ...


@dataclass(frozen=True)
class Files:
    """The local ClickHouse, which takes its users from files and starts anew when they change."""

    folder: Path
    url: str
    database: str

    def add(self, reader: Reader, password: str) -> None:
        """Makes a user and returns when it can log in. Raises `Transient`."""
        file = self.folder / f"{reader.name}.xml"
        file.touch(0o600)
        written = file.with_suffix(".new")
        written.write_text(readers.users_xml(reader, self.database))
        written.replace(file)
        self._wait(lambda: self._enters(reader.name, password))

    def remove(self, name: str) -> None:
        """Removes a user and returns when the server has started anew without it. Raises `Transient`."""
        (self.folder / f"{name}.xml").unlink(missing_ok=True)
        self._wait(lambda: not self._knows(name))

    def _wait(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + APPEARS_WITHIN_S
        while not done():
            if time.monotonic() > end:
                raise Transient("the local ClickHouse has not taken the change; see its log in the data directory")
            time.sleep(0.1)

    def _enters(self, name: str, password: str) -> bool:
        own = urlsplit(self.url)
        address = own.netloc.rpartition("@")[2]
        return _answers(urlunsplit(own._replace(netloc=f"{name}:{quote(password)}@{address}")), "SELECT 1")

    def _knows(self, name: str) -> bool:
        """True also while the server does not answer."""
        try:
            server = client.connect(self.url, self.database)
        except Transient:
            return True
        try:
            return bool(server.rows("SELECT name FROM system.users WHERE name = {name:String}", {"name": name}))
        except Transient:
            return True
        finally:
            server.close()


@dataclass(frozen=True)
class Statements:
    """A ClickHouse that makes users by SQL."""

    url: str
    database: str
    cluster: str

    def add(self, reader: Reader, password: str) -> None:  # noqa: ARG002 - the server needs only its hash
        """Makes a user. Raises `Transient`, `Permanent`, `ValueError`."""
        server = client.connect(self.url, self.database)
        readers.create(server, reader, self.cluster)
        server.close()

    def remove(self, name: str) -> None:
        """Removes a user. Raises `Transient`, `Permanent`, `ValueError`."""
        server = client.connect(self.url, self.database)
        readers.drop(server, name, self.cluster)
        server.close()


def place(settings: Settings) -> Place:
    """Returns where the users of this installation are kept.

    Raises:
        Refused: 409, nowhere; the text says how to change that.

    """
    if settings.clickhouse_admin_url is not None:
        url = settings.clickhouse_admin_url.get_secret_value()
        return Statements(url, settings.clickhouse_database, settings.clickhouse_cluster)
    if settings.clickhouse_readers_dir is None:
        raise Refused(409, "no_clickhouse_admin", NO_PLACE)
    url = settings.clickhouse_url.get_secret_value()
    return Files(settings.clickhouse_readers_dir, url, settings.clickhouse_database)


def make(wanted: NewReader, kept: Place, name: bytes, secret: bytes) -> tuple[str, str]:
    """Makes a reader out of 6 and 24 random bytes and returns its name and its password, which nobody keeps.

    One that is not written down afterwards does no harm: nobody knows its password.

    Raises:
        Refused: 502, ClickHouse did not make it.

    """
    reader = Reader(readers.PREFIX + name.hex(), wanted.project, sha256(secret.hex().encode()).hexdigest())
    _told(lambda: kept.add(reader, secret.hex()))
    return reader.name, secret.hex()


def remove(kept: Place, name: str) -> None:
    """Removes a reader. Raises `Refused` as `make` does."""
    _told(lambda: kept.remove(name))


def _told(work: Callable[[], None]) -> None:
    try:
        work()
    except (Transient, Permanent, ValueError, OSError) as error:
        raise Refused(502, "clickhouse", f"ClickHouse did not do it: {error}") from error


def entry_of(name: str, wanted: NewReader, by: str) -> ConfigEntry:
    """Returns the entry of a reader."""
    content = canonical_spec(ReaderSpec(project=wanted.project, label=wanted.label))
    return ConfigEntry(project="", kind=KIND, name=name, version=spec_version(content), spec=content, by=by)


def shown(version: Versioned) -> dict[str, Any]:
    """Returns what may be known about a reader."""
    spec = ReaderSpec.model_validate_json(version.spec)
    return {"id": version.name, "projects": [spec.project], "scopes": ["clickhouse"], "label": spec.label}


def visible(configuration: Configuration, caller: Caller) -> list[Versioned]:
    """Returns the readers of the projects that the caller may use."""
    found = sorted(configuration.all_newest(KIND, "").items())
    return [one for _, one in found if caller.key.allows_project(ReaderSpec.model_validate_json(one.spec).project)]


def access(settings: Settings) -> dict[str, str]:
    """Returns where a reader logs in: URL without a user, and database."""
    parts = urlsplit(settings.clickhouse_url.get_secret_value())
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path=""))
    return {"url": address, "database": settings.clickhouse_database}


def _answers(url: str, statement: str) -> bool:
    try:
        server = client.connect(url)
        server.rows(statement)
        server.close()
    except (Transient, Permanent):
        return False
    return True
