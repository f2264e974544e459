"""Kafka and ClickHouse go away in the middle, for a few seconds each; `make faults` does it for longer."""

from pathlib import Path

import pytest

from tests.support.invariants import Places, assert_all_hold
from tests.support.ledger import Load
from tests.support.outages import Servers, with_flat_memory, with_jobs_killed, without
from tests.support.system import running

pytestmark = pytest.mark.integration

SECONDS = 6
FROZEN_S = 5


def test_outages_of_clickhouse_and_kafka_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers, Places() as places, running(tmp_path / "data", *servers.options) as system:
        system.apply(places.documents)
        with Load(system) as load:
            with_flat_memory(system, without(servers, SECONDS, "clickhouse"))
            with_flat_memory(system, without(servers, SECONDS, "kafka"))
            with_flat_memory(system, lambda: servers.frozen_kafka(FROZEN_S))
            with_jobs_killed(system, servers, seconds=3)
        assert_all_hold(system, load.ledger, places)
