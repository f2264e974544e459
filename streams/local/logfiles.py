"""The output of supervised processes: a file each, bounded."""

from __future__ import annotations

import shutil
from pathlib import Path

MAX_BYTES = 10_000_000
KEPT = 2


def rotate(file: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
    """Moves the contents of `file`, once it is larger than `max_bytes`, to `file.1`, and older ones on to `file.<kept>`.

    The process keeps its open file, which is emptied under it (it appends); a line written while that happens is lost.
    """
    if not file.exists() or file.stat().st_size <= max_bytes:
        return
    for number in range(kept, 1, -1):
        older = _numbered(file, number - 1)
        if older.exists():
            older.replace(_numbered(file, number))
    shutil.copyfile(file, _numbered(file, 1))
    with file.open("r+b") as current:
        current.truncate(0)


def tail(file: Path, characters: int = 2000) -> str:
    """The end of `file`, for a message about a process that failed; empty if there is none."""
    return file.read_text(errors="replace")[-characters:] if file.exists() else ""


def _numbered(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")
