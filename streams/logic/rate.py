"""`rate`: the share of matches among everything that was evaluated within `within`, from a bounded sample.

The sample are the `SAMPLE` subjects of the window with the smallest hashes (bottom-k, also called KMV: Beyer et al., "On synopses for
distinct-value estimation", 2007). A hash tells nothing about a subject, so the share in the sample is that of the window; up to `SAMPLE`
subjects it is exact, beyond them its standard error is at most sqrt(share * (1 - share) / SAMPLE): 1.6 points of 100, whatever the traffic.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any

from schemas.documents.base import format_duration
from schemas.documents.rule import RuleSpec, Share
from schemas.rule_state import RuleState, pack_sample, pack_subjects, unpack_sample, unpack_subjects
from streams.logic.frequency import Met
from streams.logic.window import NOTHING, Entry

SAMPLE = 1000
HASHES = 2**64
LAST_HASH = b"\xff" * 8


class Sample:
    """The evaluated subjects of a window, those left out that can never be among its `SAMPLE` smallest hashes again.

    That is a subject with so many smaller hashes among strictly newer ones: they leave the window after it. On average
    SAMPLE * (1 + ln(N / SAMPLE)) of N subjects stay.
    """

    def __init__(self, packed: bytes) -> None:
        found = unpack_sample(packed)
        self._by_time: list[Entry] = [(time, known) for time, known, _ in found]
        by_hash = sorted((known, matched) for _, known, matched in found)
        self._hashes = [known for known, _ in by_hash]
        self._matched = bytearray(matched for _, matched in by_hash)

    def matched(self, known: bytes) -> bool | None:
        """Returns whether a subject matched; None when it is not here."""
        at = self._at(known)
        return bool(self._matched[at]) if self._hashes[at : at + 1] == [known] else None

    def _at(self, known: bytes) -> int:
        return bisect_left(self._hashes, known)

    def wants(self, entry: Entry) -> bool:
        """Tells whether a subject may be among the `SAMPLE` smallest hashes of any window from now on."""
        newer = self._by_time[bisect_left(self._by_time, (entry[0] + 1, b"")) :]
        return len(newer) < SAMPLE or sum(known < entry[1] for _, known in newer) < SAMPLE

    def add(self, entry: Entry, matched: bool) -> None:  # noqa: FBT001
        """Adds a subject, or tells of a known one that it matched too."""
        at = self._at(entry[1])
        if self._hashes[at : at + 1] == [entry[1]]:
            self._matched[at] |= matched
            return
        insort(self._by_time, entry)
        self._hashes.insert(at, entry[1])
        self._matched.insert(at, matched)

    def forget_to(self, time: int) -> None:
        """Lets the subjects go that are not newer than a time."""
        gone = bisect_left(self._by_time, (time + 1, b""))
        for _, known in self._by_time[:gone]:
            at = self._at(known)
            del self._hashes[at], self._matched[at]
        del self._by_time[:gone]

    def counts(self) -> tuple[int, int]:
        """Returns how many subjects of the sample matched, and how many there are."""
        return self._matched.count(1, 0, SAMPLE), min(len(self._hashes), SAMPLE)

    def about(self) -> int:
        """Returns about how many subjects the window holds, when the sample is full."""
        return max(round((SAMPLE - 1) * HASHES / (int.from_bytes(self._hashes[SAMPLE - 1]) + 1)), SAMPLE)

    def packed(self) -> bytes:
        """Returns the subjects in the compact form of a state."""
        kept = self._by_time if len(self._by_time) <= SAMPLE else sorted(self._needed())
        matched = dict(zip(self._hashes, self._matched, strict=True))
        return pack_sample([(time, known, matched[known]) for time, known in kept])

    def _needed(self) -> Iterator[Entry]:
        """Walks from the newest: what has `SAMPLE` smaller hashes behind it is left out."""
        smallest: list[int] = []  # negated: the largest of them stands first
        for entry in reversed(self._by_time):
            number = -int.from_bytes(entry[1])
            if len(smallest) < SAMPLE:
                heapq.heappush(smallest, number)
            elif number > smallest[0]:
                heapq.heapreplace(smallest, number)
            else:
                continue
            yield entry


class Rate:
    """The evaluated subjects of one rule and group while an event is folded. The window ends at the newest of them."""

    def __init__(self, spec: RuleSpec, rate: Share, before: RuleState) -> None:
        self.spec, self._rate = spec, rate
        self.watermark, self.held_since = before.watermark, before.held_since
        self._sample = Sample(before.sample)
        self._floor = unpack_subjects(before.floor)[0] if before.floor else NOTHING

    def clear(self) -> None:
        """Forgets what was counted under other conditions."""
        self._sample, self._floor, self.held_since = Sample(b""), NOTHING, 0

    def cause(self, known: bytes, matched: bool) -> str:  # noqa: FBT001
        """Returns the name under which a change is kept that a subject caused: it may do so before and after it matched."""
        return f"{known.hex()}:{matched:d}"

    def refused(self, entry: Entry, matched: bool) -> str:  # noqa: FBT001
        """Returns why a subject changes nothing, or nothing."""
        known = self._sample.matched(entry[1])
        if known or (known is not None and not matched):
            return "duplicate"
        if entry[0] <= self.watermark - self.spec.within or entry <= self._floor:
            return "too late"
        return "" if self._sample.wants(entry) else "not sampled"

    def add(self, entry: Entry, matched: bool) -> bool:  # noqa: FBT001
        """Adds a subject; there is room for it."""
        self._sample.add(entry, matched)
        before, self.watermark = self.watermark, max(self.watermark, entry[0])
        self._sample.forget_to(self.watermark - self.spec.within)
        self._floor = max(self._floor, (self.watermark - self.spec.within, LAST_HASH))
        if not self._reached():
            self.held_since = 0
        elif not self.held_since or self.watermark - before > self.spec.within:
            self.held_since = self.watermark
        return True

    def _reached(self) -> bool:
        matched, evaluated = self._sample.counts()
        return evaluated >= self._rate.of and matched / evaluated >= self._rate.share

    def moment(self, entry: Entry) -> int:  # noqa: ARG002 - one protocol with `Frequency`
        """Returns the time at which a firing that this subject causes takes place."""
        return self.watermark

    def met(self, entry: Entry) -> Met | None:  # noqa: ARG002
        """Returns the condition when it is met now."""
        if not self.held_since or self.watermark - self.held_since < (self.spec.sustained or 0):
            return None
        matched, evaluated = self._sample.counts()
        sampled = f", a sample of about {self._sample.about()}" if evaluated == SAMPLE else ""
        of = f"{matched} of {evaluated}{sampled}"
        held = f" for {format_duration(self.watermark - self.held_since)}" if self.spec.sustained else ""
        enough = f"{_percent(self._rate.share)} of {self._rate.of} is enough"
        return Met(
            matched, f"{_percent(matched / evaluated)} ({of}) in {format_duration(self.spec.within)}{held}, {enough}"
        )

    def goes_on(self) -> bool:
        """Tells whether what was just added breaks the silence that resolves an alert: when it found the share reached."""
        return bool(self.held_since)

    def packed(self) -> dict[str, Any]:
        """Returns its part of the state."""
        return {
            "watermark": self.watermark,
            "sample": self._sample.packed(),
            "floor": pack_subjects([self._floor]) if self._floor != NOTHING else b"",
            "held_since": self.held_since,
        }


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
