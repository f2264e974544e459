"""What waits to be sent: bounded in items and in bytes. What does not fit is dropped and counted, nobody waits for room."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from vedette.recording import Recording

MAX_ITEMS = 10_000
MAX_BYTES = 32 * 1024 * 1024
ITEM_BYTES = 1024
"""what a span takes beside its texts"""


class SpanItem:
    """An ended span; with its recording, which holds input and output, when it is ours."""

    __slots__ = ("recording", "size", "span")
    kind = "spans"

    def __init__(self, span: ReadableSpan, size: int, recording: Recording | None = None) -> None:
        self.span = span
        self.size = size
        self.recording = recording


class ExampleItem:
    """An example as the server takes it, its values frozen."""

    __slots__ = ("body", "size")
    kind = "examples"

    def __init__(self, body: Mapping[str, Any], size: int) -> None:
        self.body = body
        self.size = size


Item = SpanItem | ExampleItem


class Starts(Protocol):
    """What takes items away."""

    def ensure_running(self) -> None:
        """Starts it unless it runs."""


class Outbox:
    """The queue between the program and the sender."""

    def __init__(self, max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.sender: Starts | None = None
        self.dropped: Counter[tuple[str, str]] = Counter()
        """(spans or examples, reason) -> how many, since the process began"""
        self.reset()

    def reset(self) -> None:
        """Empties it: in a child process what waits belongs to the parent."""
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self.accepted = 0
        self.settled = 0
        self.filled = threading.Event()
        self._settling = threading.Condition()

    def put(self, item: Item) -> None:
        """Takes an item, or drops it when there is no room."""
        with self._lock:
            fits = len(self._items) < self._max_items and self._bytes + item.size <= self._max_bytes
            if fits:
                self._items.append(item)
                self._bytes += item.size
                self.accepted += 1
            else:
                self.dropped[item.kind, "queue full"] += 1
        if not self.filled.is_set():
            self.filled.set()
            if self.sender is not None:
                self.sender.ensure_running()

    def put_recording(self, recording: Recording) -> None:
        """Takes an ended span of ours."""
        self.put(SpanItem(cast("ReadableSpan", recording.span), ITEM_BYTES + recording.size, recording))

    def take(self, items: int, size: int) -> list[Item]:
        """Returns the oldest items, as many as fit, one at least if there is one."""
        taken: list[Item] = []
        with self._lock:
            while self._items and len(taken) < items and (not taken or self._items[0].size <= size):
                item = self._items.popleft()
                size -= item.size
                self._bytes -= item.size
                taken.append(item)
            if not self._items:
                self.filled.clear()
        return taken

    def settle(self, items: Sequence[Item], dropped: str = "") -> None:
        """Notes that items have arrived, or why they never will."""
        with self._settling:
            self.settled += len(items)
            for item in items if dropped else ():
                self.dropped[item.kind, dropped] += 1
            self._settling.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Waits until everything that is in it now has been settled; False when time is up."""
        wanted, end = self.accepted, time.monotonic() + timeout_s
        with self._settling:
            return self._settling.wait_for(lambda: self.settled >= wanted, max(end - time.monotonic(), 0))
