"""A bar of plain text that tells how far something is; only a terminal gets one."""

from __future__ import annotations

import sys
from typing import TextIO

WIDTH = 30


class Progress:
    """Draws over its own line on stderr and leaves it clean."""

    def __init__(self, words: str, total: int, *, shown: bool = True, stream: TextIO | None = None) -> None:
        self._words = words
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = shown and self._stream.isatty()

    def tell(self, done: int) -> None:
        """Draws how much is done."""
        if self._shown:
            full = WIDTH * done // max(self._total, 1)
            bar = "#" * full + "." * (WIDTH - full)
            print(f"\r{self._words} [{bar}] {done}/{self._total}", end="", file=self._stream, flush=True)

    def clear(self) -> None:
        """Takes the line away."""
        if self._shown:
            print("\r" + " " * (len(self._words) + WIDTH + 24) + "\r", end="", file=self._stream, flush=True)
