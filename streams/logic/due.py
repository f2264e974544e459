"""Which keys are due at a time: a heap that is looked at from its front only."""

from heapq import heappop, heappush


class Due:
    """Keys with the earliest time at which something may happen to each. A key is expected once; what moved to later is found out when it comes up."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []
        self._at: dict[bytes, int] = {}

    def expect(self, key: bytes, at: int) -> None:
        """Expects a key at a time, unless it is expected earlier."""
        if key not in self._at or at < self._at[key]:
            self._at[key] = at
            heappush(self._heap, (at, key))

    def take(self, now: int) -> list[bytes]:
        """Returns the keys that were expected until now; they are expected no longer."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                taken.append(key)
        return taken
