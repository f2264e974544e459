"""What integration tests share beyond the two servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.support.jobs import Installation


@pytest.fixture
def installation(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """An installation of its own on the run's Kafka, with two partitions; its jobs end with the test."""
    settings = Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, env_allow={"*": ["*"]})
    made = Installation(settings, tmp_path)
    yield made
    made.stop()
