"""A wall clock that a test steps for all jobs of a stack, as an administrator or a bad time server does.

`install` writes a `sitecustomize` that shifts `time.time` and `time.time_ns` of every Python process by what a file says. The broker
and ClickHouse keep their own clock.
"""

import os
from pathlib import Path

_CODE = """
import time

_FILE, _TIME, _TIME_NS = {file!r}, time.time, time.time_ns


def _shift():
    try:
        with open(_FILE) as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0


time.time = lambda: _TIME() + _shift()
time.time_ns = lambda: _TIME_NS() + _shift() * 1_000_000_000
"""


class Clock:
    """Steps the clock of processes whose PYTHONPATH is `path`: its directory, and what was there before."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.path = os.pathsep.join((str(directory), os.environ.get("PYTHONPATH", ""))).rstrip(os.pathsep)
        self._file = directory / "shift"
        (directory / "sitecustomize.py").write_text(_CODE.format(file=str(self._file)))

    def step_to(self, seconds: int) -> None:
        """Makes the clock show so many seconds more than it is; negative: less."""
        self._file.with_suffix(".new").write_text(str(seconds))
        self._file.with_suffix(".new").replace(self._file)
