"""A file that one process holds at a time and that names it; the kernel releases it when the process ends, however."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import IO

_TRIES = 10  # who asks for the holder has the lock himself for a moment


def take(file: Path) -> IO[str] | None:
    """Takes the lock, creating `file` with mode 0600, and writes this process's id into it; None if another has it.

    It is held until the returned file is closed. Closing empties nothing: a name in a free lock means nothing.
    """
    held = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+")
    if not _locked(held, fcntl.LOCK_EX, _TRIES):
        held.close()
        return None
    held.truncate(0)
    held.write(f"{os.getpid()}\n")
    held.flush()
    return held


def holder(file: Path) -> int | None:
    """The process that holds the lock; None if nobody does. 0 in the instant before the holder has written its id."""
    if not file.exists():
        return None
    with file.open() as probe:
        return None if _locked(probe, fcntl.LOCK_SH, tries=1) else named(file)


def named(file: Path) -> int:
    """The process that took the lock last, whether or not it still holds it; 0 if none ever did."""
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdigit() else 0


def _locked(file: IO[str], kind: int, tries: int) -> bool:
    for left in reversed(range(tries)):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        time.sleep(0.02 if left else 0)
    return False
