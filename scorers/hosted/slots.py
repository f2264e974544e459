"""A kernel uid for each sandbox, so that limits count it alone and no two sandboxes may touch each other."""

import os
import secrets
from collections import deque
from pathlib import Path

BLOCK = 256
"""Sandboxes of one runner at the same time."""
FIRST, BLOCKS = 2_000_000_000, 4096
"""A range that distributions, systemd and subordinate uids leave alone."""


def block(uid_map: str, chosen: int) -> range:
    """Returns a block of uids that exist in this user namespace.

    Args:
        uid_map: the text of /proc/self/uid_map.
        chosen: which of 4,096 blocks, so that runners of one machine hardly meet.

    """
    extents = [(int(inside), int(count)) for inside, _, count in (line.split() for line in uid_map.splitlines())]
    wanted = FIRST + (chosen % BLOCKS) * BLOCK
    if any(first <= wanted and wanted + BLOCK <= first + count for first, count in extents):
        return range(wanted, wanted + BLOCK)
    first, count = max(extents, key=lambda extent: extent[1])
    blocks = max(1, count // BLOCK // 2)
    end = first + count - (chosen % blocks) * BLOCK
    return range(max(first + 1, end - BLOCK), end)


class Slots:
    """Uids in turn; one is used again when nothing of it is alive, since dying processes still count against its limits."""

    def __init__(self, uids: range) -> None:
        self._free = deque(uids)

    def take(self) -> int:
        """Returns a free uid.

        Raises:
            LookupError: all are in use.

        """
        for _ in range(len(self._free)):
            uid = self._free.popleft()
            if not _has_processes(uid):
                return uid
            self._free.append(uid)
        raise LookupError(f"{BLOCK} sandboxes run already")

    def give_back(self, uid: int) -> None:
        """Puts a uid at the end of the queue."""
        self._free.append(uid)


def _has_processes(uid: int) -> bool:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == uid:
                    return True
            except OSError:
                continue
    return False


_ours: Slots | None = None


def slots() -> Slots | None:
    """Returns this process's uids; None when it may not change its uid, and sandboxes share its own."""
    global _ours  # noqa: PLW0603 - the kernel's uids are one resource of the process
    if os.geteuid() != 0:
        return None
    if _ours is None:
        uid_map = Path("/proc/self/uid_map").read_text(encoding="ascii")
        _ours = Slots(block(uid_map, secrets.randbelow(BLOCKS)))
    return _ours
