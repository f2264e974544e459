"""What a provider may still be asked: so many requests a minute, so many dollars a day. Pure: the time is an argument."""

from collections import deque
from dataclasses import dataclass, field

MINUTE_S = 60.0
DAY_S = 86_400


@dataclass(frozen=True)
class Limits:
    """What the operator of a provider allows."""

    requests_per_minute: int = 600
    budget_usd_per_day: float | None = None


@dataclass(frozen=True)
class Spent:
    """Why a request must not be made now, and when it may be."""

    reason: str
    retry_after_s: float
    is_budget: bool = False


@dataclass
class Allowance:
    """The requests and the dollars of one provider. A request reserves what it may cost at most and settles what it did cost."""

    day: int = 0
    """Days since the epoch, UTC."""
    usd: float = 0.0
    """Settled on that day."""
    reserved_usd: float = 0.0
    _times: deque[float] = field(default_factory=deque)

    def ask(self, now_s: float, usd: float, limits: Limits) -> Spent | None:
        """Reserves a request that costs `usd` dollars at most, or returns why it must not be made now."""
        self._turn(now_s)
        wait_s = self._minute(now_s, limits.requests_per_minute)
        if wait_s > 0:
            return Spent(f"{limits.requests_per_minute} requests a minute are made", wait_s)
        budget = limits.budget_usd_per_day
        if budget is not None and self.usd + self.reserved_usd + usd > budget:
            told = f"${self.usd + self.reserved_usd:.4f} of ${budget:g} a day are spent or reserved, and this request may cost ${usd:.4f}"
            return Spent(told, DAY_S - now_s % DAY_S, is_budget=True)
        self._times.append(now_s)
        self.reserved_usd += usd
        return None

    def settle(self, now_s: float, reserved_usd: float, usd: float) -> None:
        """Replaces what a request reserved by what it cost, on the day on which it ends."""
        self._turn(now_s)
        self.reserved_usd = max(0.0, self.reserved_usd - reserved_usd)
        self.usd += usd

    def _turn(self, now_s: float) -> None:
        day = int(now_s // DAY_S)
        if day != self.day:
            self.day, self.usd = day, 0.0

    def _minute(self, now_s: float, most: int) -> float:
        """Seconds until a request may be made: at most `most` in any 60 seconds."""
        while self._times and self._times[0] <= now_s - MINUTE_S:
            self._times.popleft()
        return self._times[len(self._times) - most] + MINUTE_S - now_s if len(self._times) >= most else 0.0
