"""Kafka and ClickHouse go away for ten minutes each, in the middle of the load, and before the jobs start."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.invariants import Places, assert_all_hold
from tests.support.ledger import Load
from tests.support.outages import Servers, with_flat_memory, with_jobs_killed, without
from tests.support.system import System, running

pytestmark = [pytest.mark.faults, pytest.mark.integration]

SECONDS = 600
AT_START_S = 60
FROZEN_S = 20


@dataclass(frozen=True)
class Stack:
    servers: Servers
    system: System
    places: Places


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with Servers(tmp_path) as servers, Places() as places, running(tmp_path / "data", *servers.options) as system:
        system.apply(places.documents)
        yield Stack(servers, system, places)


@pytest.mark.parametrize("server", ["clickhouse", "kafka"])
def test_a_server_away_for_ten_minutes(stack: Stack, server: str) -> None:
    with Load(stack.system) as load:
        with_flat_memory(stack.system, without(stack.servers, SECONDS, server))
    assert_all_hold(stack.system, load.ledger, stack.places)


def test_kafka_frozen_for_twenty_seconds(stack: Stack) -> None:
    with Load(stack.system) as load:
        with_flat_memory(stack.system, lambda: stack.servers.frozen_kafka(FROZEN_S))
    assert_all_hold(stack.system, load.ledger, stack.places)


def test_jobs_that_start_while_kafka_and_clickhouse_are_away_wait_and_go_on_by_themselves(stack: Stack) -> None:
    with Load(stack.system) as load:
        with_jobs_killed(stack.system, stack.servers, AT_START_S)
    assert_all_hold(stack.system, load.ledger, stack.places)
