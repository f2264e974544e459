"""The state of one rule and group: what the counter's table holds and its changelog carries."""

import struct
from collections.abc import Sequence
from itertools import chain

from pydantic import Field

from schemas.alert import AlertChange, AlertState
from schemas.codec import first_long
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
    until: int = Field(default=0, description="end of its newest snooze in milliseconds")


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
    matched_at: int = Field(
        default=0,
        description="append time of the newest match (of `rate`: of the newest subject that found the share reached; of `no_traffic`: of "
        "the newest subject): silence counts from here",
    )
    ticked_at: int = Field(default=0, description="append time of the newest tick that changed something")
    outbox: tuple[Sent, ...] = ()
    group: tuple[str, ...] = ()
    sample: bytes = Field(
        default=b"",
        description="evaluated subjects of `rate` by time: 8 bytes of ingest time, 8 of hash, 1 of matched, each",
    )
    held_since: int = Field(default=0, description="of `sustained`: since when the condition holds; 0: it does not")
    heard_at: int = Field(default=0, description="append time of the newest event that changed something")
    commanded_at: int = Field(default=0, description="append time of the newest command")
    commands: tuple[str, ...] = Field(default=(), description="ids of the commands that were appended at that time")


def writes_of(packed: bytes) -> int:
    """Returns how often a state was written, from its encoded form: `writes` is the first field of every version of its schema."""
    return first_long(packed)


def subject_hash(kind: str, subject_id: str) -> bytes:
    """Returns the 8 bytes by which a state knows a subject."""
    return bytes.fromhex(hashed(kind, subject_id)[:16])


def pack_subjects(entries: Sequence[tuple[int, bytes]]) -> bytes:
    """Returns the compact form of (ingest time, hash) pairs."""
    return struct.pack(f">{'q8s' * len(entries)}", *chain.from_iterable(entries))


def unpack_subjects(packed: bytes) -> list[tuple[int, bytes]]:
    """Returns the pairs of the compact form."""
    return [(time, known) for time, known in struct.iter_unpack(">q8s", packed)]


def pack_sample(entries: Sequence[tuple[int, bytes, int]]) -> bytes:
    """Returns the compact form of (ingest time, hash, matched)."""
    return struct.pack(f">{'q8s?' * len(entries)}", *chain.from_iterable(entries))


def unpack_sample(packed: bytes) -> list[tuple[int, bytes, bool]]:
    """Returns what stands in the compact form."""
    return list(struct.iter_unpack(">q8s?", packed))
