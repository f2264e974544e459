"""`type: cost`"""

from pydantic import Field
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.scorer import SETTINGS, Verdict, lacks_number


@dataclass(frozen=True, config=SETTINGS)
class Cost:
    """Reads what a span cost; 1 when it was at most `max_usd`, `measured` is the cost in US dollars."""

    max_usd: float = Field(ge=0, allow_inf_nan=False)

    async def judge(self, subject: Subject) -> Verdict:
        """Compares the cost with the limit."""
        cost = subject.numbers.get("cost_usd")
        if cost is None:
            return lacks_number(subject, "cost_usd")
        relation = "at most" if cost <= self.max_usd else "more than"
        tokens = subject.numbers.get("tokens")
        spent = "" if tokens is None else f" for {tokens:.0f} tokens"
        reason = f"cost ${cost:.6g}{spent}, {relation} ${self.max_usd:g}"
        return Verdict(value=float(cost <= self.max_usd), measured=cost, reason=reason)
