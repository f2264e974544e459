"""The delivery ledger of one partition: a fold over `vedette.deliveries`, in the order of the log."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.delivery import Delivery
from streams.logic import delivery as deliveries

Place = tuple[str, str]
"""Project and destination."""
Chain = tuple[str, str]
"""Alert and recipient within a destination: their changes are told in order."""


@dataclass
class Ledger:
    """Where every telling stands. Only the log moves it: whoever decides something writes it there and reads it back.

    The first terminal record of a key decides, and of two pending ones that with more attempts: a plan met again and the late word of a
    former owner change nothing. `unsettled` holds the keys whose newest record on the log says something else than the fold; the owner
    writes the fold's entry once more, for compaction keeps only the newest record.
    """

    entries: dict[bytes, Delivery] = field(default_factory=dict)
    unsettled: set[bytes] = field(default_factory=set)
    _pending: dict[Place, dict[Chain, dict[int, bytes]]] = field(default_factory=dict)
    _references: dict[tuple[Place, Chain], dict[int, str]] = field(default_factory=dict)

    def apply(self, key: bytes, record: Delivery | None) -> None:
        """Folds one record in; None is a tombstone."""
        known = self.entries.get(key)
        if record is None:
            self._forget(key, known)
            return
        entry = record if known is None or _supersedes(record, known) else known
        self.entries[key] = entry
        self._index(key, entry)
        (self.unsettled.discard if entry == record else self.unsettled.add)(key)

    def places(self) -> Iterator[Place]:
        """Returns the destinations that have something pending."""
        return iter(list(self._pending))

    def next(self, place: Place) -> Delivery | None:
        """Returns the pending entry of a destination that is due first, of each alert and recipient only the earliest change."""
        heads = [self.entries[chain[min(chain)]] for chain in self._pending.get(place, {}).values()]
        return min(heads, key=lambda head: (head.due_at, head.planned_at, head.change), default=None)

    def reference(self, entry: Delivery) -> str:
        """Returns what the destination called the latest earlier message of the entry's alert and recipient, or nothing."""
        earlier = self._references.get((_place(entry), _chain(entry)), {})
        return max(((change, text) for change, text in earlier.items() if change < entry.change), default=(0, ""))[1]

    def expired(self, now_ms: int) -> list[bytes]:
        """Returns the keys of terminal entries that are to be forgotten."""
        oldest = now_ms - deliveries.FORGET_AFTER_MS
        return [key for key, entry in self.entries.items() if entry.state != "pending" and entry.changed_at < oldest]

    def _index(self, key: bytes, entry: Delivery) -> None:
        if entry.state == "pending":
            self._pending.setdefault(_place(entry), {}).setdefault(_chain(entry), {})[entry.change] = key
            return
        self._settle(entry)
        if entry.reference:
            self._references.setdefault((_place(entry), _chain(entry)), {})[entry.change] = entry.reference

    def _settle(self, entry: Delivery) -> None:
        chains = self._pending.get(_place(entry), {})
        changes = chains.get(_chain(entry), {})
        changes.pop(entry.change, None)
        if not changes:
            chains.pop(_chain(entry), None)
        if not chains:
            self._pending.pop(_place(entry), None)

    def _forget(self, key: bytes, entry: Delivery | None) -> None:
        self.entries.pop(key, None)
        self.unsettled.discard(key)
        if entry is None:
            return
        self._settle(entry)
        references = self._references.get((_place(entry), _chain(entry)), {})
        references.pop(entry.change, None)
        if not references:
            self._references.pop((_place(entry), _chain(entry)), None)


def _supersedes(record: Delivery, known: Delivery) -> bool:
    if known.state != "pending":
        return False
    return record.state != "pending" or record.attempts > known.attempts


def _place(entry: Delivery) -> Place:
    return entry.project, entry.destination


def _chain(entry: Delivery) -> Chain:
    return entry.alert_id, entry.recipient
