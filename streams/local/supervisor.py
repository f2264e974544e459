"""Keeps named processes running: starts them, starts a crashed one again, writes down what they do, stops them in order.

One thread owns all children, because the kernel ties each of them to the thread that started it (see `tether`): they end
with this process even if it is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.local import restarts
from streams.local.datadir import write_atomically
from streams.local.logfiles import rotate, tail
from streams.local.restarts import Life, State
from streams.local.tether import tethered

_INTERVAL = 0.2
_LOG_INTERVAL = 2.0
_HOPELESS = 3  # ends in a row before anything was ready

_log = logging.getLogger(__name__)


class NotReadyError(Exception):
    """A process did not become ready; the text ends with what it said."""


@dataclass(frozen=True)
class Process:
    """A process to keep running.

    `env` is added to this process's own environment. `ready` tells whether it answers; it must return within about two
    seconds. Without it a process counts as ready once it runs. On stop, processes of a higher tier end before those of
    a lower one are told to.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    tier: int = 1


@dataclass
class _Child:
    process: Process
    life: Life = field(default_factory=Life)
    handle: subprocess.Popen[bytes] | None = None


class Supervisor:
    """Runs processes until `stop`. Output goes to `<logs>/<name>.log`, the states to `state_file` at every change."""

    def __init__(self, logs: Path, state_file: Path, grace: float = 4.5) -> None:
        """`grace` is how long the processes of one tier may take to end after SIGTERM, in seconds."""
        self._logs = logs
        self._state_file = state_file
        self._grace = grace
        self._wanted: queue.SimpleQueue[Process] = queue.SimpleQueue()
        self._children: dict[str, _Child] = {}
        self._published: dict[str, Life] = {}
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._logs_checked = 0.0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, process: Process) -> None:
        """Starts `process` and keeps it running. Its name must be new."""
        self._wanted.put(process)
        self._wake.set()

    def lives(self) -> dict[str, Life]:
        """What has happened to each process so far."""
        return self._published

    def wait_ready(self, name: str, timeout: float) -> None:
        """Returns once `name` is running.

        Raises `NotReadyError` after `timeout` seconds, or at once if it crashes again and again or is being stopped.
        """
        deadline = time.monotonic() + timeout
        while (life := self.lives().get(name, Life())).state != State.RUNNING:
            if life.failures >= _HOPELESS:
                raise NotReadyError(f"{name} ended {life.failures} times in a row:\n{tail(self._logs / f'{name}.log')}")
            if time.monotonic() > deadline or self._stopping.is_set():
                said = tail(self._logs / f"{name}.log")
                raise NotReadyError(f"{name} is {life.state} and not ready after {timeout:.0f} s:\n{said}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends all processes, tier by tier, those started last first, and returns when they are gone."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._admit()
            for child in self._children.values():
                self._step(child, time.monotonic())
            self._bound_logs(time.monotonic())
            self._publish()
            self._wake.wait(_INTERVAL)
            self._wake.clear()
        for tier in sorted({child.process.tier for child in self._children.values()}, reverse=True):
            self._end(tier)
            self._publish()

    def _admit(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                process = self._wanted.get_nowait()
                self._children[process.name] = _Child(process)

    def _step(self, child: _Child, now: float) -> None:
        """Brings one child further: starts it if it is due, notices its end, asks whether it is ready."""
        if child.handle is None:
            if now >= child.life.due:
                self._spawn(child, now)
        elif (status := child.handle.poll()) is not None:
            self._bury(child)
            child.life = restarts.ended(child.life, status, now)
            _log.warning("%s ended with status %d; starting it again", child.process.name, status)
        elif child.life.ready_at is None and _is_ready(child.process):
            child.life = restarts.became_ready(child.life, time.monotonic())

    def _spawn(self, child: _Child, now: float) -> None:
        process = child.process
        try:
            with (self._logs / f"{process.name}.log").open("ab") as log:
                child.handle = subprocess.Popen(  # noqa: S603
                    tethered(process.argv),
                    env={**os.environ, **process.env},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            _log.error("cannot start %s: %s", process.name, error)
            child.life = restarts.ended(child.life, 127, now)
        else:
            child.life = restarts.spawned(child.life, child.handle.pid)

    def _bury(self, child: _Child) -> None:
        """Ends what a dead process has left behind in its process group."""
        if child.handle is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.handle.pid, signal.SIGKILL)
        child.handle = None

    def _end(self, tier: int) -> None:
        children = [child for child in reversed(self._children.values()) if child.process.tier == tier]
        for child in children:
            if child.handle is not None:
                child.handle.terminate()
        deadline = time.monotonic() + self._grace
        for child in children:
            if child.handle is not None:
                self._await_end(child.handle, deadline)
            self._bury(child)
            child.life = restarts.stopped(child.life)

    def _await_end(self, handle: subprocess.Popen[bytes], deadline: float) -> None:
        try:
            handle.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            handle.kill()
            handle.wait()

    def _bound_logs(self, now: float) -> None:
        if now - self._logs_checked < _LOG_INTERVAL:
            return
        self._logs_checked = now
        for name in self._children:
            try:
                rotate(self._logs / f"{name}.log")
            except OSError as error:  # a full disk must not end the thread that all children hang on
                _log.warning("cannot rotate the log of %s: %s", name, error)

    def _publish(self) -> None:
        lives = {name: child.life for name, child in self._children.items()}
        if lives == self._published and self._state_file.exists():
            return
        self._published = lives
        try:
            write_atomically(self._state_file, json.dumps(_document(lives), indent=2) + "\n")
        except OSError as error:
            _log.warning("cannot write %s: %s", self._state_file, error)


def _is_ready(process: Process) -> bool:
    try:
        return process.ready()
    except Exception:  # whatever it is, the thread that all children hang on must survive it
        _log.exception("cannot tell whether %s is ready", process.name)
        return False


def _document(lives: Mapping[str, Life]) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "processes": {
            name: {
                "state": life.state.value,
                "pid": life.pid,
                "restarts": life.restarts,
                "exit_status": life.exit_status,
            }
            for name, life in lives.items()
        },
    }
