"""What an agent's author reports to: a real bridge and a real api, with the jobs between a span or an example and ClickHouse."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import migrate
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.bridge import Bridge, make_key, start_bridge, stop_bridge, wait_known
from tests.support.jobs import Installation

JOBS = ("streams.api.job", "normalise", "sample", "score", "store")


@dataclass(frozen=True)
class Served:
    bridge: Bridge
    installation: Installation
    clickhouse: ClickHouse
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.bridge.settings.otlp_http_port}"

    def new_key(self, *scopes: str, projects: tuple[str, ...] = ("*",)) -> str:
        key = make_key(self.bridge.settings, scopes, projects)
        wait_known(self.bridge, key, 200 if "ingest" in scopes else 403)
        self.installation.until(lambda: self.bridge.send("/api/v1/openapi.json", method="GET", x_api_key=key)[0] != 401)
        return key

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Returns rows of our database: `{ours:Identifier}.spans`."""
        return [tuple(row) for row in self.clickhouse.rows(statement)]


@contextmanager
def served(kafka: str, clickhouse: str, folder: Path, *jobs: str, **settings: Any) -> Iterator[Served]:
    """A bridge with its jobs (all that are needed by default) and a key that may do everything, until the block ends."""
    api_port = free_port()
    own = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"s{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=0,
        api_port=api_port,
        api_url=f"http://127.0.0.1:{api_port}",
        public_url="http://vedette.example",
        clickhouse_url=SecretStr(clickhouse),
        clickhouse_database=f"t_{secrets.token_hex(4)}",
    ).model_copy(update=settings)
    database = connect(clickhouse, own.clickhouse_database)
    migrate(database)
    installation = Installation(own, folder)
    bridge = start_bridge(own)
    try:
        key = make_key(own, scopes=("admin",))
        wait_known(bridge, key)
        installation.start(*(jobs or JOBS))
        yield Served(bridge, installation, database, key)
        assert stop_bridge(bridge) == 0
    finally:
        bridge.process.kill()
        installation.stop()
        database.execute("DROP DATABASE {ours:Identifier} SYNC")
        database.close()
