"""Who is next when sandboxes are few: pure decisions of the pool."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")


@dataclass(frozen=True)
class Terms:
    """What a pool may use and how long it waits. Seconds."""

    cells: int = 32
    """Sandboxes at once, of all projects."""
    cells_of_one: int = 8
    """Of one scorer version."""
    calls: int = 2000
    """Calls that wait or run at once, of all projects."""
    batch: int = 128
    threads: int = 16
    """Examples that a sandbox judges at once: a smaller batch would leave it idle."""
    batch_s: float = 0.05
    """What a batch should take, so that nobody waits long for its neighbours."""
    patience_s: float = 0.1
    """Waiting this long for a sandbox of one's own scorer starts another one."""
    stands_s: float = 5.0
    """A scorer that has answered nothing for so long stands: who finds it full is sent away, not kept waiting."""
    most_calls: int = 20_000
    """A sandbox is replaced after so many."""
    age_s: float = 1800.0
    idle_s: float = 300.0
    first_pause_s: float = 0.05
    longest_pause_s: float = 5.0
    """Between two starts of a scorer whose sandboxes die without an answer."""
    most_tries: int = 6
    """Of a call whose sandbox ends, each time through no certain fault of its own."""

    def batch_size(self, mean_s: float) -> int:
        """Returns how many examples go into one batch when one takes so long in the mean."""
        fitting = int(self.batch_s / mean_s) if mean_s > 0 else self.batch
        return max(self.threads, min(self.batch, fitting))

    def pause_s(self, deaths: int) -> float:
        """Returns how long a scorer pauses after so many sandboxes that died one after the other without an answer."""
        return min(self.first_pause_s * 2.0 ** min(deaths - 1, 20), self.longest_pause_s) if deaths else 0.0


def may_take(of_scorer: int, of_project: int, free: int) -> bool:
    """Tells whether a scorer may take one more of what all share.

    A project takes at most as much as is left, one of its scorers half of that: whoever comes next finds something, without
    anything set aside for those who may never come (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
    """
    return of_project < free and (of_scorer == 0 or 2 * of_scorer + 1 < free)


def least_recent(idle: Mapping[K, float]) -> K | None:
    """Returns whichever has been idle for longest; None when nothing is."""
    return min(idle, key=lambda one: idle[one], default=None)


def next_in_turn(wanting: Iterable[K], of_scorer: Mapping[K, int], of_project: Mapping[K, int]) -> K | None:
    """Returns who gets the next sandbox: of the project with the fewest, then the scorer with the fewest, then who came first."""
    return min(wanting, key=lambda one: (of_project[one], of_scorer[one]), default=None)
