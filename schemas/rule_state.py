"""The state of one rule and group: what the counter's table holds and its changelog carries."""

import struct
from collections.abc import Sequence
from itertools import chain

from pydantic import Field

from schemas.alert import AlertChange, AlertState
from schemas.ids import hashed
from schemas.record import Record
from schemas.rule import Evaluated

NEWEST_EVIDENCE = 10


class Firing(Record):
    """A moment the rule's condition was met."""

    at: int = Field(description="ingest time of the triggering match")
    firing_id: str


class OpenAlert(Record):
    """The one alert of a rule and group that is open."""

    alert_id: str
    state: AlertState
    change: int = Field(description="number of its newest change")
    fired_at: int
    severity: str = "warning"
    renotified: int = 0
    matched: int = 0


class Sent(Record):
    """A change that went out, under the cause that it will be sent again for."""

    cause: str
    at: int = Field(description="append time of the event that caused it")
    change: AlertChange


class RuleState(Record):
    """Everything that decides what the next event of a rule and group does. Bounded."""

    writes: int = Field(default=0, description="recovery keeps the newer of two states")
    window_since: int = Field(default=0, description="when the conditions that filled the window took effect")
    watermark: int = Field(default=0, description="the largest ingest time among the matches")
    subjects: bytes = Field(
        default=b"", description="matched subjects by time: 8 bytes of ingest time, 8 of hash, each"
    )
    floor: bytes = Field(default=b"", description="the newest subject that had to leave; what is not newer is too late")
    evidence: tuple[Evaluated, ...] = ()
    firings: tuple[Firing, ...] = ()
    open: OpenAlert | None = None
    suppressed: int = Field(default=0, description="matches within a cooldown that nobody was told of yet")
    matched_at: int = Field(default=0, description="append time of the newest match: silence counts from here")
    ticked_at: int = Field(default=0, description="append time of the newest tick that changed something")
    outbox: tuple[Sent, ...] = ()


def subject_hash(kind: str, subject_id: str) -> bytes:
    """Returns the 8 bytes by which a state knows a subject."""
    return bytes.fromhex(hashed(kind, subject_id)[:16])


def pack_subjects(entries: Sequence[tuple[int, bytes]]) -> bytes:
    """Returns the compact form of (ingest time, hash) pairs."""
    return struct.pack(f">{'q8s' * len(entries)}", *chain.from_iterable(entries))


def unpack_subjects(packed: bytes) -> list[tuple[int, bytes]]:
    """Returns the pairs of the compact form."""
    return [(time, known) for time, known in struct.iter_unpack(">q8s", packed)]
