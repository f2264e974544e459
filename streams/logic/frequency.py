"""`times` within `within`, at once or `sustained`: what a rule that counts matches remembers."""

from typing import Any, NamedTuple

from schemas.documents.base import format_duration
from schemas.documents.rule import RuleSpec
from schemas.rule_state import RuleState, pack_subjects, unpack_subjects
from streams.logic.window import NOTHING, Entry, Window

LATENESS_MS = 600_000
"""A match older than watermark - within - this is too late."""
SUBJECTS_LEAST = 512


class Met(NamedTuple):
    """A condition that is met: with how many matches, and why in words."""

    subjects: int
    cause: str


def room(spec: RuleSpec) -> int:
    """Returns how many matches a state remembers."""
    return max(2 * spec.times, SUBJECTS_LEAST)


class Frequency:
    """The matches of one rule and group while an event is folded."""

    def __init__(self, spec: RuleSpec, before: RuleState) -> None:
        self.spec = spec
        self.watermark, self.held_since = before.watermark, before.held_since
        self._window = self._filled(before.subjects, before.floor)

    def _filled(self, packed: bytes, floor: bytes) -> Window:
        return Window(packed, unpack_subjects(floor)[0] if floor else NOTHING, self.spec.within, room(self.spec))

    def clear(self) -> None:
        """Forgets what was counted under other conditions."""
        self._window, self.held_since = self._filled(b"", b""), 0

    def cause(self, known: bytes, matched: bool) -> str:  # noqa: FBT001, ARG002 - one protocol with `Rate`
        """Returns the name under which a change is kept that a subject caused."""
        return known.hex()

    def refused(self, entry: Entry, matched: bool) -> str:  # noqa: FBT001, ARG002
        """Returns why a subject changes nothing, or nothing."""
        if entry[1] in self._window:
            return "duplicate"
        return "too late" if entry[0] < self._oldest() or entry <= self._window.floor else ""

    def _oldest(self) -> int:
        return self.watermark - self.spec.within - (self.spec.sustained or 0) - LATENESS_MS

    def add(self, entry: Entry, matched: bool) -> bool:  # noqa: FBT001, ARG002
        """Adds a match and tells whether there was room for it."""
        if not self._window.add(entry):
            return False
        before, self.watermark = self.watermark, max(self.watermark, entry[0])
        self._window.forget_before(self._oldest())
        if self.spec.sustained:
            self._hold(before)
        return True

    def _hold(self, before: int) -> None:
        """It held from `held_since` to `before`, the watermark until now; a run that reaches back to there goes on."""
        in_order = self.held_since and self.watermark > before
        since = self._window.held_since(self.spec.times, enough=before if in_order else 0)
        if since is not None and self.held_since and since <= before:
            since = min(since, self.held_since)
        self.held_since = since or 0

    def moment(self, entry: Entry) -> int:
        """Returns the time at which a firing that this match causes takes place."""
        return self.watermark if self.spec.sustained else entry[0]

    def met(self, entry: Entry) -> Met | None:
        """Returns the condition when this match finds it met."""
        times, within = self.spec.times, format_duration(self.spec.within)
        if self.spec.sustained:
            held = self.watermark - self.held_since
            if not self.held_since or held < self.spec.sustained:
                return None
            subjects = self._window.since(self.watermark - self.spec.within + 1)
            for_long = f"for {format_duration(held)}, {format_duration(self.spec.sustained)} is enough"
            return Met(subjects, f"at least {times} in every {within} {for_long}")
        if not self._window.holds(times, entry):
            return None
        subjects = self._window.most(entry)
        return Met(subjects, f"{subjects} in {within}, {times} are enough")

    def goes_on(self) -> bool:
        """Tells whether what was just added breaks the silence that resolves an alert: every match does."""
        return True

    def packed(self) -> dict[str, Any]:
        """Returns its part of the state."""
        floor = self._window.floor
        return {
            "watermark": self.watermark,
            "subjects": self._window.packed(),
            "floor": pack_subjects([floor]) if floor != NOTHING else b"",
            "held_since": self.held_since,
        }
