"""The subjects that one rule and group remembers, in the order of their ingest times."""

from bisect import bisect_left, insort

from schemas.rule_state import pack_subjects, unpack_subjects

Entry = tuple[int, bytes]
"""Ingest time and hash of a subject."""

NOTHING: Entry = (-1, b"")


class Window:
    """Matched subjects, at most `room` of them, for half-open windows of `length` milliseconds."""

    def __init__(self, packed: bytes, floor: Entry, length: int, room: int) -> None:
        self._entries = unpack_subjects(packed)
        self._known = {known for _, known in self._entries}
        self.floor = floor
        """The newest entry that had to leave; what is not newer is too late, so nothing is ever counted twice."""
        self._length = length
        self._room = room

    def __contains__(self, known: bytes) -> bool:
        return known in self._known

    def add(self, entry: Entry) -> bool:
        """Adds a subject and tells whether it stays: the oldest ones leave when there is no room."""
        insort(self._entries, entry)
        self._known.add(entry[1])
        while len(self._entries) > self._room:
            self._leave()
        return entry[1] in self._known

    def forget_before(self, time: int) -> None:
        """Lets the subjects go that are older than a time."""
        while self._entries and self._entries[0][0] < time:
            self._leave()

    def _leave(self) -> None:
        oldest = self._entries.pop(0)
        self._known.discard(oldest[1])
        self.floor = max(self.floor, oldest)

    def holds(self, wanted: int, entry: Entry) -> bool:
        """Tells whether some window that contains this entry holds at least `wanted` subjects."""
        entries, new = self._entries, bisect_left(self._entries, entry)
        return any(
            entries[first + wanted - 1][0] - entries[first][0] < self._length
            for first in range(max(0, new - wanted + 1), min(new, len(entries) - wanted) + 1)
        )

    def most(self, entry: Entry) -> int:
        """Returns the most subjects that a window containing this entry holds."""
        entries, new = self._entries, bisect_left(self._entries, entry)
        first = bisect_left(entries, (entry[0] - self._length + 1, b""))
        return max(bisect_left(entries, (entries[i][0] + self._length, b"")) - i for i in range(first, new + 1))

    def since(self, time: int) -> int:
        """Returns how many subjects are not older than a time."""
        return len(self._entries) - bisect_left(self._entries, (time, b""))

    def held_since(self, wanted: int, enough: int) -> int | None:
        """Returns since when every window that ends after it holds `wanted` subjects, up to the newest one; None when that one's does not.

        It looks no further back than `enough`. A window ends with its last millisecond and begins `length` before.
        """
        entries, since = self._entries, None
        for last in range(len(entries) - 1, wanted - 2, -1):
            newest, ends = entries[last][0], entries[last - wanted + 1][0] + self._length
            if ends <= newest if since is None else ends < since:
                break
            since = newest
            if since <= enough:
                break
        return since

    def packed(self) -> bytes:
        """Returns the subjects in the compact form of a state."""
        return pack_subjects(self._entries)
