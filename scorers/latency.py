"""`type: latency`"""

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.scorer import SETTINGS, Verdict


@dataclass(frozen=True, config=SETTINGS)
class Latency:
    """Reads a span's duration; 1 when it took at most `max_ms`, `measured` is the duration in milliseconds."""

    max_ms: float = Field(gt=0)

    async def judge(self, subject: Subject) -> Verdict:
        """Compares the duration with the limit."""
        duration = subject.numbers.get("duration_ms")
        if duration is None:
            return Verdict(skipped=True, reason=f"an {subject.kind} has no duration; use `target: span`")
        relation = "at most" if duration <= self.max_ms else "longer than"
        reason = f"took {duration:.1f} ms, {relation} {self.max_ms:g} ms"
        return Verdict(value=float(duration <= self.max_ms), measured=duration, reason=reason)
