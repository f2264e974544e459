"""Which subjects a change of an alert gathered: those of its firing window, and those that a cooldown kept quiet. Pure."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """One match of a rule and group, as it was stored."""

    subject_kind: str
    subject_id: str
    trace_id: str
    ingested_at: int
    offset: int
    """Of the rule event that it stands in."""

    @property
    def subject(self) -> tuple[str, str]:
        """Kind and id."""
        return self.subject_kind, self.subject_id


def gathered(window: Sequence[Match], quiet: Sequence[Match]) -> list[Match]:
    """Returns both, each subject once, in the order of their ingest times."""
    found = {match.subject: match for match in (*quiet, *window)}
    return sorted(found.values(), key=_order)


def firing_window(matches: Iterable[Match], at: int, within: int) -> list[Match]:
    """Returns the matches of the half-open window of `within` milliseconds that contains `at` and holds the most subjects.

    Of several such windows it is the earliest. All times are ingest times in milliseconds.
    """
    found = sorted(matches, key=_order)
    times = [match.ingested_at for match in found]
    candidates = [time for time in times if at - within < time <= at]
    windows = [found[bisect_left(times, start) : bisect_left(times, start + within)] for start in candidates]
    return max(windows, key=lambda window: len(subjects(window)), default=[])


def kept_quiet(matches: Iterable[Match], firings: Collection[int], cooldown: int) -> list[Match]:
    """Returns the matches that lie within the cooldown of an earlier firing, on either side."""
    return [match for match in matches if any(abs(match.ingested_at - firing) < cooldown for firing in firings)]


def subjects(matches: Iterable[Match]) -> set[tuple[str, str]]:
    """Returns the distinct subjects of matches."""
    return {match.subject for match in matches}


def _order(match: Match) -> tuple[int, str]:
    return match.ingested_at, match.subject_id
