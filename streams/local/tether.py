"""Ties a process to the one that started it: when the starter dies, however it dies, the kernel ends the process too.

Run as a script in front of the command, `tether.py PARENT COMMAND…`, because code between fork and exec is not safe in
a program with threads. Linux only; elsewhere the command runs untied. The kernel watches the *thread* that started the
process: start from one that lives as long as the process should.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` tied to the calling thread. The process id is the command's own."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def _run(parent: int, argv: Sequence[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was told to watch it
            sys.exit(1)
    os.execvp(argv[0], list(argv))  # noqa: S606


if __name__ == "__main__":
    _run(int(sys.argv[1]), sys.argv[2:])
