"""Kafka and ClickHouse go away for a minute each, in the middle of the load and before the jobs start."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streams.local.standins import SlackStandIn
from tests.support.outages import (
    DOCUMENTS,
    Load,
    Servers,
    assert_nothing_lost_and_nothing_twice,
    with_flat_memory,
    with_jobs_killed,
    without,
)
from tests.support.system import System, running

pytestmark = [pytest.mark.faults, pytest.mark.integration]

SECONDS = 60
FROZEN_S = 20


@dataclass(frozen=True)
class Stack:
    servers: Servers
    system: System
    slack: SlackStandIn


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with (
        Servers(tmp_path) as servers,
        SlackStandIn() as slack,
        running(tmp_path / "data", *servers.options) as system,
    ):
        system.apply(DOCUMENTS.format(slack=slack.url))
        yield Stack(servers, system, slack)


def test_clickhouse_away_for_a_minute(stack: Stack) -> None:
    with Load(stack.system) as load:
        with_flat_memory(stack.system, without(stack.servers, SECONDS, "clickhouse"))
    assert_nothing_lost_and_nothing_twice(stack.system, load.ledger, stack.slack)


def test_kafka_killed_and_away_for_a_minute(stack: Stack) -> None:
    with Load(stack.system) as load:
        with_flat_memory(stack.system, without(stack.servers, SECONDS, "kafka"))
    assert_nothing_lost_and_nothing_twice(stack.system, load.ledger, stack.slack)


def test_kafka_frozen_for_twenty_seconds(stack: Stack) -> None:
    with Load(stack.system) as load:
        with_flat_memory(stack.system, lambda: stack.servers.frozen_kafka(FROZEN_S))
    assert_nothing_lost_and_nothing_twice(stack.system, load.ledger, stack.slack)


def test_jobs_that_start_while_kafka_and_clickhouse_are_away_wait_and_go_on_by_themselves(stack: Stack) -> None:
    with Load(stack.system) as load:
        with_jobs_killed(stack.system, stack.servers, SECONDS)
    assert_nothing_lost_and_nothing_twice(stack.system, load.ledger, stack.slack)
