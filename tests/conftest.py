"""One real Kafka and one real ClickHouse for all tests that need them, started when the first one asks."""

import secrets
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support")

from streams.local import clickhouse as clickhouse_server
from streams.local import kafka as kafka_broker
from streams.settings import Settings
from tests.support.jobs import Installation
from tests.support.rooms import rooms, tier

__all__ = ["rooms", "tier"]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`bootstrap.servers` of an Apache Kafka that lives as long as the run."""
    server = kafka_broker.start(tmp_path_factory.mktemp("kafka"))
    yield server.bootstrap
    kafka_broker.stop(server)


@pytest.fixture(scope="session")
def clickhouse_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the run's ClickHouse; it holds the passwords."""
    return tmp_path_factory.mktemp("clickhouse")


@pytest.fixture(scope="session")
def clickhouse(clickhouse_home: Path) -> Iterator[str]:
    """URL, with user and password, of a ClickHouse that lives as long as the run."""
    server = clickhouse_server.start(clickhouse_home, readable=("vedette", "t_*"))
    yield server.login()
    clickhouse_server.stop(server)


@pytest.fixture(scope="session")
def clickhouse_read(clickhouse: str, clickhouse_home: Path) -> str:
    """The same server's URL for the user that may only read."""
    secret = clickhouse_server.password(clickhouse_home, clickhouse_server.READER)
    return f"http://{clickhouse_server.READER}:{secret}@{clickhouse.rpartition('@')[2]}"


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic names that no other test has."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture
def installation(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation of its own on the run's Kafka, with two partitions; its jobs end with the test."""
    settings = Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, env_allow={"*": ["*"]})
    made = Installation(settings, tmp_path)
    yield made
    made.stop()


@pytest.fixture
def database(clickhouse: str) -> Iterator[str]:
    """The name of an empty database that is dropped when the test ends."""
    name = f"t_{secrets.token_hex(4)}"
    _execute(clickhouse, f"CREATE DATABASE {name}")
    yield name
    _execute(clickhouse, f"DROP DATABASE {name} SYNC")


def _execute(url: str, statement: str) -> None:
    parts = urllib.parse.urlsplit(url)
    headers = {"X-ClickHouse-User": str(parts.username), "X-ClickHouse-Key": str(parts.password)}
    target = f"http://{parts.hostname}:{parts.port}/"
    request = urllib.request.Request(target, data=statement.encode(), headers=headers)
    urllib.request.urlopen(request, timeout=30).close()
