"""The stack of one machine: Kafka, ClickHouse and the jobs, supervised; or existing servers in their place.

with LocalStack(DataDir(path)) as stack:
    stack.start_servers()
    ...                             # create topics, migrate
    stack.start_jobs([JobSpec("bridge", (sys.executable, "-m", "streams.bridge"))])
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from streams.local import clickhouse, kafka
from streams.local.datadir import DataDir
from streams.local.ports import LOOPBACK, free_port, is_free, kept_port
from streams.local.restarts import State
from streams.local.supervisor import Process, Supervisor

KAFKA = "kafka"
CLICKHOUSE = "clickhouse"
METRICS_PORT = "VEDETTE_METRICS_PORT"


@dataclass(frozen=True)
class JobSpec:
    """A job to run, with `env` on top of what every job is told.

    It counts as ready when `ready_url` answers 2xx; by default that is `/readyz` on its metrics port.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None


class LocalStack:
    """Kafka, ClickHouse and jobs on one data directory, which it holds from `__enter__` to `__exit__`."""

    def __init__(
        self,
        data: DataDir,
        *,
        kafka_port: int = 0,
        clickhouse_port: int = 0,
        bootstrap_servers: str | None = None,
        clickhouse_url: str | None = None,
        readable: Sequence[str] = clickhouse.READABLE,
    ) -> None:
        """With `bootstrap_servers` or `clickhouse_url` that server is used and none started.

        Port 0 = the one kept in the directory, else a free one. `vedette_read` may read the databases in `readable`.
        """
        self.data = data
        self._kafka_port = kafka_port
        self._clickhouse_port = clickhouse_port
        self._readable = readable
        self._own_kafka = bootstrap_servers is None
        self._own_clickhouse = clickhouse_url is None
        self.bootstrap_servers = bootstrap_servers or ""
        self.clickhouse_url = clickhouse_url or ""
        self.metrics_ports: dict[str, int] = {}
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Takes the directory. Raises `InUseError` if another stack runs on it."""
        self._held.enter_context(self.data.locked())
        self.supervisor = Supervisor(self.data.logs, self.data.state_file)
        self._held.callback(self.supervisor.stop)
        return self

    def __exit__(self, *_: object) -> None:
        """Stops jobs, then servers, within ten seconds, and releases the directory."""
        self._held.close()

    def start_servers(self, timeout: float = 120.0) -> None:
        """Starts Kafka and ClickHouse side by side and returns when both answer.

        Then `bootstrap_servers` and `clickhouse_url` (user and password in it) are set. Raises `PortTakenError`,
        `NotReadyError`.
        """
        starting = []
        if self._own_kafka:
            starting.append(self._kafka())
        if self._own_clickhouse:
            starting.append(self._clickhouse())
        for process in starting:
            self.supervisor.start(process)
        for process in starting:
            self.supervisor.wait_ready(process.name, timeout)
        if self._own_clickhouse:
            self.clickhouse_url = clickhouse.login(self.data.clickhouse, self._clickhouse_port)

    def start_jobs(self, jobs: Iterable[JobSpec], timeout: float = 60.0) -> None:
        """Starts the jobs, all at once, and returns when every one is ready. Raises `NotReadyError`."""
        jobs = list(jobs)
        for job in jobs:
            self.supervisor.start(self._job(job))
        for job in jobs:
            self.supervisor.wait_ready(job.name, timeout)

    def state(self) -> str:
        """starting, ready, degraded (something is down or restarting) or stopped."""
        return overall(life.state for life in self.supervisor.lives().values())

    def _kafka(self) -> Process:
        directory = self.data.kafka
        self._kafka_port = kept_port(directory / "port", self._kafka_port, kafka.PORT_OPTION)
        self.bootstrap_servers = bootstrap = f"{LOOPBACK}:{self._kafka_port}"
        argv = kafka.command(directory, self._kafka_port)
        return Process(KAFKA, tuple(argv), ready=lambda: kafka.answers(bootstrap), tier=0)

    def _clickhouse(self) -> Process:
        directory = self.data.clickhouse
        self._clickhouse_port = port = kept_port(directory / "port", self._clickhouse_port, clickhouse.PORT_OPTION)
        argv = clickhouse.command(directory, port, self._readable)
        return Process(CLICKHOUSE, tuple(argv), ready=lambda: clickhouse.answers(directory, port), tier=0)

    def _job(self, job: JobSpec) -> Process:
        port = self._metrics_port(job.name)
        told = {
            "PYTHONUNBUFFERED": "1",
            "VEDETTE_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "VEDETTE_CLICKHOUSE_URL": self.clickhouse_url,
            METRICS_PORT: str(port),
        }
        url = job.ready_url or f"http://{LOOPBACK}:{port}/readyz"
        return Process(job.name, job.argv, told | dict(job.env), ready=lambda: answers_2xx(url))

    def _metrics_port(self, name: str) -> int:
        """The port kept for the job if it is free, else a new one, kept for `vedette status` to find."""
        kept: dict[str, int] = self.data.settings().get("metrics_ports", {})
        port = kept.get(name, 0)
        self.metrics_ports[name] = port if port and is_free(port) else free_port()
        self.data.keep({"metrics_ports": kept | self.metrics_ports})
        return self.metrics_ports[name]


def overall(states: Iterable[State]) -> str:
    """The state of a whole stack: stopped if nothing runs, degraded if something is down, else starting or ready."""
    seen = set(states)
    if seen <= {State.STOPPED}:
        return "stopped"
    if seen & {State.RESTARTING, State.STOPPED}:
        return "degraded"
    return "starting" if State.STARTING in seen else "ready"


def recorded(data: DataDir) -> dict[str, Any]:
    """What the stack on `data` wrote down last: `{"pid", "processes": {name: {"state", "pid", "restarts", …}}}`.

    With nobody holding the directory every process is told as stopped, whatever a killed stack left written.
    """
    if not data.state_file.exists():
        return {"pid": None, "processes": {}}
    document: dict[str, Any] = json.loads(data.state_file.read_text())
    if data.holder() is not None:
        return document
    processes = {
        name: {**process, "state": State.STOPPED.value, "pid": None} for name, process in document["processes"].items()
    }
    return {"pid": None, "processes": processes}


def stop_running(data: DataDir, timeout: float = 15.0) -> bool:
    """Asks the stack that runs on `data` to stop (SIGTERM) and returns True when it has, False if none runs.

    Raises `TimeoutError` if it has not ended after `timeout` seconds.
    """
    pid = data.holder()
    if not pid:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while data.holder() == pid:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} on {data.path} has not stopped after {timeout:.0f} s")
        time.sleep(0.05)
    return True


def answers_2xx(url: str, timeout: float = 2.0) -> bool:
    """True if GET `url` answers with a 2xx status within `timeout` seconds."""
    try:
        with urllib.request.urlopen(url, timeout=timeout):  # noqa: S310
            return True
    except OSError:
        return False
