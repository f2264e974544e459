"""The delivery ledger of one partition: a fold over `vedette.deliveries`, in the order of the log."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from schemas.delivery import Delivery
from streams.logic import delivery as deliveries

Place = tuple[str, str]
"""Project and destination."""
Chain = tuple[str, str]
"""Alert and recipient within a destination: their changes are told in order."""


@dataclass
class Ledger:
    """Where every telling stands. Only the log moves it: whoever decides something writes it there and reads it back.

    The first final record of a key decides, and of two that wait the one about which more was decided: a plan met again and the late
    word of a former owner change nothing. `unsettled` holds the keys whose newest record on the log says something else than the fold;
    the owner writes the fold's entry once more, for compaction keeps only the newest record.
    """

    entries: dict[bytes, Delivery] = field(default_factory=dict)
    unsettled: set[bytes] = field(default_factory=set)
    _pending: dict[Place, dict[Chain, dict[int, bytes]]] = field(default_factory=dict)
    _held: dict[bytes, None] = field(default_factory=dict)
    _chains: dict[tuple[Place, Chain], dict[int, bytes]] = field(default_factory=dict)
    _sent: dict[tuple[Place, str], dict[bytes, None]] = field(default_factory=dict)
    """What a recipient was sent, in the order of the log."""

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

    def held(self) -> list[Delivery]:
        """Returns the entries that are kept quiet until something ends."""
        return [self.entries[key] for key in self._held]

    def reference(self, entry: Delivery) -> str:
        """Returns what the destination called the latest earlier message of the entry's alert and recipient, or nothing."""
        told = [one for one in self._earlier(entry) if one.reference]
        return max(told, key=lambda one: one.change).reference if told else ""

    def untold(self, entry: Delivery) -> bool:
        """Tells whether the entry's recipient was kept from hearing of its alert: every earlier change was suppressed."""
        earlier = self._earlier(entry)
        return bool(earlier) and all(one.state == "suppressed" and not one.reference for one in earlier)

    def messages_since(self, entry: Delivery, since_ms: int) -> int:
        """Returns how many messages the entry's destination sent to its recipient since a time; a digest counts as one."""
        sent = [self.entries[key] for key in self._sent.get((_place(entry), entry.recipient), ())]
        return len({one.reference for one in sent if one.changed_at > since_ms})

    def company(self, entry: Delivery, most: int) -> list[Delivery]:
        """Returns what is pending for the entry's destination and recipient, the entry's own alert first; at most so many."""
        chains = self._pending.get(_place(entry), {})
        theirs = [
            self.entries[key] for chain, keys in chains.items() if chain[1] == entry.recipient for key in keys.values()
        ]
        theirs.sort(key=lambda one: (one.alert_id != entry.alert_id, one.planned_at, one.alert_id, one.change))
        return theirs[:most]

    def expired(self, now_ms: int) -> list[bytes]:
        """Returns the keys of final entries that are to be forgotten."""
        oldest = now_ms - deliveries.FORGET_AFTER_MS
        return [key for key, entry in self.entries.items() if not deliveries.waits(entry) and entry.changed_at < oldest]

    def _earlier(self, entry: Delivery) -> list[Delivery]:
        chain = self._chains.get((_place(entry), _chain(entry)), {})
        return [self.entries[key] for change, key in chain.items() if change < entry.change]

    def _index(self, key: bytes, entry: Delivery) -> None:
        self._chains.setdefault((_place(entry), _chain(entry)), {})[entry.change] = key
        self._held.pop(key, None)
        if entry.state == "pending":
            self._pending.setdefault(_place(entry), {}).setdefault(_chain(entry), {})[entry.change] = key
            return
        self._settle(entry)
        if deliveries.waits(entry):
            self._held[key] = None
        if entry.state == "sent":
            self._sent.setdefault((_place(entry), entry.recipient), {})[key] = None

    def _settle(self, entry: Delivery) -> None:
        chains = self._pending.get(_place(entry), {})
        _drop(chains, _chain(entry), entry.change)
        if not chains:
            self._pending.pop(_place(entry), None)

    def _forget(self, key: bytes, entry: Delivery | None) -> None:
        self.entries.pop(key, None)
        self.unsettled.discard(key)
        self._held.pop(key, None)
        if entry is None:
            return
        self._settle(entry)
        _drop(self._chains, (_place(entry), _chain(entry)), entry.change)
        _drop(self._sent, (_place(entry), entry.recipient), key)


K = TypeVar("K")
S = TypeVar("S")


def _drop(index: dict[K, dict[S, Any]], key: K, item: S) -> None:
    """Takes an item out of an index, and its shelf with it when it was the last."""
    shelf = index.get(key, {})
    shelf.pop(item, None)
    if not shelf:
        index.pop(key, None)


def _supersedes(record: Delivery, known: Delivery) -> bool:
    if not deliveries.waits(known):
        return False
    return not deliveries.waits(record) or deliveries.decisions(record) > deliveries.decisions(known)


def _place(entry: Delivery) -> Place:
    return entry.project, entry.destination


def _chain(entry: Delivery) -> Chain:
    return entry.alert_id, entry.recipient
