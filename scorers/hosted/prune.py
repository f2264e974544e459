"""What a runner keeps on its disk has a limit: above it, the folders of packages and of code that were used longest ago go.

Whatever is gone is made again when somebody asks for it: packages from their lock, code from its document.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import structlog

from scorers.hosted import folders
from scorers.hosted.index import MIB

log = structlog.get_logger()

SHELVES = ("packages", "code")
IN_USE_S = 7200.0
"""A folder used since then may be in a sandbox: one lives 30 minutes, idles 5, and its last batch takes 8 times 10 minutes at most."""


@dataclass(frozen=True)
class Kept:
    """A folder, the bytes of its content, and when it was last asked for, in seconds since 1970."""

    path: Path
    size: int
    used_at: float


def spare(kept: Iterable[Kept], most: int, in_use_since: float) -> list[Kept]:
    """Returns what goes so that the rest is no larger than `most` bytes: whatever was used longest ago, nothing in use."""
    oldest_first = sorted(kept, key=lambda one: one.used_at)
    over, going = sum(one.size for one in oldest_first) - most, list[Kept]()
    for one in oldest_first:
        if over <= 0 or one.used_at >= in_use_since:
            break
        going.append(one)
        over -= one.size
    return going


def prune(folder: Path, most: int) -> None:
    """Removes what is too much below a runner's folder, and what a runner that was killed left half made or half removed.

    Never raises for what it cannot remove.

    Args:
        folder: of one runner, or of several on this machine.
        most: bytes of packages and code together.

    """
    in_use_since = time.time() - IN_USE_S
    for one in spare(_kept(folder), most, in_use_since):
        try:
            if folders.take_away(one.path, in_use_since):
                log.info("removed what was not used for long", folder=str(one.path), mib=round(one.size / MIB, 1))
        except OSError as error:
            log.warning("cannot be removed", folder=str(one.path), reason=str(error))
    folders.sweep(folder, in_use_since)


def _kept(folder: Path) -> Iterator[Kept]:
    for path in [path for shelf in SHELVES for path in (folder / shelf).glob("*")]:
        try:
            found = path.stat()
        except FileNotFoundError:  # another runner was faster
            continue
        yield Kept(path, _size(path, found.st_ino), found.st_mtime)


@lru_cache(maxsize=4096)
def _size(path: Path, _inode: int) -> int:
    """Looked at once: nobody writes into a folder that has its name, and some hold 50,000 files."""
    return folders.usage(path)[0]
