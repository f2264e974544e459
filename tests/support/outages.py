"""Outages under load: servers that go away and come back, and the memory of the jobs meanwhile."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from streams.local import clickhouse, kafka
from tests.bench.figures import rss_bytes
from tests.support.system import System, until

GROWTH_BYTES = 256 * 1024 * 1024
"""A full batch of the store, decoded, with its columns: what it takes to catch up, however long the outage was."""
CALM_S = 3
"""Of load before an outage, and after it."""
SERVERS = ("kafka", "clickhouse")


class Servers:
    """Kafka and ClickHouse of a test's own. They are tied to the thread that starts them: the test's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.kafka = kafka.start(directory / "kafka")
        self.clickhouse = clickhouse.start(directory / "clickhouse")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kafka.stop(self.kafka)
        clickhouse.stop(self.clickhouse)

    @property
    def options(self) -> tuple[str, ...]:
        """Of `vedette up`."""
        return "--bootstrap-servers", self.kafka.bootstrap, "--clickhouse-url", self.clickhouse.login()

    def away(self, server: str) -> None:
        """Ends a server as a crash does."""
        process = self.kafka.process if server == "kafka" else self.clickhouse.process
        process.kill()
        process.wait(10)

    def back(self, server: str) -> None:
        """Starts it again, with the same data on the same port."""
        if server == "kafka":
            self.kafka = kafka.start(self._directory / "kafka", self.kafka.port)
        else:
            self.clickhouse = clickhouse.start(self._directory / "clickhouse", self.clickhouse.port)

    def frozen_kafka(self, seconds: float) -> None:
        """Lets the broker stand still: connections stay, nothing is answered."""
        self.kafka.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.kafka.process.send_signal(signal.SIGCONT)


class Memory(threading.Thread):
    """The resident memory of every job, looked at twice a second."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self._system, self._stopping = system, threading.Event()
        self.before = self._now()
        self.most = dict(self.before)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(0.5):
            for process, size in self._now().items():
                self.most[process] = max(size, self.most.get(process, 0))

    def _now(self) -> dict[tuple[str, int], int]:
        sizes = {}
        for name, pid in self._system.pids().items():
            try:
                sizes[name, pid] = rss_bytes(pid)
            except FileNotFoundError:  # it ended just now
                continue
        return sizes

    @property
    def growth(self) -> dict[str, int]:
        """By how much each job that lived through it grew at most, in bytes."""
        return {name: self.most[name, pid] - size for (name, pid), size in self.before.items()}


def with_flat_memory(system: System, outage: Callable[[], None]) -> None:
    """Goes through an outage in the middle of the load; no job may grow by more than a batch meanwhile."""
    time.sleep(CALM_S)
    with Memory(system) as memory:
        outage()
        time.sleep(CALM_S)
    assert {name: size for name, size in memory.growth.items() if size > GROWTH_BYTES} == {}


def without(servers: Servers, seconds: float, *names: str) -> Callable[[], None]:
    """Returns an outage of some servers, which ends when they answer again."""

    def outage() -> None:
        for name in names:
            servers.away(name)
        time.sleep(seconds)
        for name in names:
            servers.back(name)

    return outage


def with_jobs_killed(system: System, servers: Servers, seconds: float) -> None:
    """Kafka and ClickHouse go away and every job is killed: they start where nothing answers, say so, and wait."""
    for name in SERVERS:
        servers.away(name)
    logged = {job: len(system.log(job)) for job in system.pids()}
    system.kill(*logged)
    until(lambda: all(_waits_for(job) in system.log(job)[before:] for job, before in logged.items()))
    time.sleep(seconds)
    for name in SERVERS:
        servers.back(name)
    until(lambda: all(process["state"] == "running" for process in system.processes().values()))
    time.sleep(CALM_S)


def _waits_for(job: str) -> str:
    return "waiting for ClickHouse" if job == "store" else "waiting for Kafka"
