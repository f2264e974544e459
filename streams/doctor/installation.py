"""What is examined: the settings of a command, the api if it is known, a data directory if there is one."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from schemas.config import ConfigEntry
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse, connect
from streams.cli import reader
from streams.cli.client import Client
from streams.logic.configuration import Configuration, Versioned
from streams.settings import Settings

DAY_MS = 24 * 3600 * 1000
CLICKHOUSE_S = 6.0
"""An answer of ClickHouse may take so long."""


@dataclass
class Installation:
    """One Vedette, as whoever examines it reaches it."""

    settings: Settings
    api: Client | None
    data_dir: Path
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    _configuration: Configuration | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def configuration(self) -> Configuration:
        """Returns everything that is configured, read once from the topic: it needs no api.

        Raises:
            KafkaException, reader.NoTopic, reader.Silent: the topic cannot be read.

        """
        with self._lock:
            if self._configuration is None:
                self._configuration = _read(self.settings)
            return self._configuration

    def newest(self, kind: str) -> Sequence[Versioned]:
        """Returns the newest version of every document of a kind in every project. Raises as `configuration` does."""
        configuration = self.configuration()
        return [
            document
            for project in sorted(configuration.projects())
            for _, document in sorted(configuration.all_newest(kind, project).items())
        ]

    @contextmanager
    def clickhouse(self, within_s: float = CLICKHOUSE_S) -> Iterator[ClickHouse]:
        """Connects to ClickHouse; an answer may take `within_s` seconds. Raises as `connect` does."""
        url = self.settings.clickhouse_url.get_secret_value()
        connected = connect(url, self.settings.clickhouse_database, within_s)
        try:
            yield connected
        finally:
            connected.close()


def _read(settings: Settings) -> Configuration:
    configuration, decoder = Configuration(), reader.Decoder(settings)
    try:
        for message in reader.to_the_end(settings, Topic.CONFIG):
            entry = decoder.record(ConfigEntry, message)
            if isinstance(entry, ConfigEntry):
                configuration.apply(entry, message.timestamp()[1])
    finally:
        decoder.close()
    return configuration
