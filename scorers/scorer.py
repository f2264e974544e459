"""What a scorer is: one method that judges a subject."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import ConfigDict

from schemas.subject import Subject
from scorers.supply import supplied_by

SETTINGS = ConfigDict(extra="forbid")
"""Of every scorer's dataclass: an unknown setting is an error."""


@dataclass(frozen=True)
class Verdict:
    """What a scorer says of a subject. A crash or a time-out is neither: the worker makes it an `error`."""

    value: float | None = None
    """0..1, 1 = good for every built-in; None together with `skipped`."""
    measured: float | None = None
    """The raw number behind the value."""
    reason: str = ""
    label: str = ""
    skipped: bool = False
    """The subject lacks what the scorer reads; the reason names the setting that would supply it."""
    cost_usd: float | None = None
    """What judging cost, in calls of models; None: it calls none."""


class Transient(Exception):
    """It cannot be judged now and may be later: tried again, after `retry_after_s` if the other side said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Permanent(Exception):
    """It cannot be judged, now or later: an `error` whose reason tells the scorer's author what to do."""

    def __init__(self, reason: str, cost_usd: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cost_usd = cost_usd


class Scorer(Protocol):
    """Judges one subject. Its fields are its configuration."""

    async def judge(self, subject: Subject) -> Verdict:
        """Returns the verdict; whatever else it raises becomes an `error` with the exception's text as reason.

        Raises:
            Transient: it cannot be judged now.
            Permanent: it can never be; only the reason is told.

        """
        ...


def lacks(subject: Subject, field: str) -> Verdict:
    """Returns the verdict on a subject without the field that a scorer reads."""
    return Verdict(skipped=True, reason=f"the {subject.kind} has no {field!r}; {_remedy(subject, field)}")


def lacks_number(subject: Subject, name: str) -> Verdict:
    """Returns the verdict on a subject without the number that a scorer reads: cost_usd, tokens, ..."""
    remedy = supplied_by(subject.dialect, name) if subject.kind == "span" else "use `target: span`"
    return Verdict(skipped=True, reason=f"the {subject.kind} has no {name!r}; {remedy}")


def _remedy(subject: Subject, field: str) -> str:
    if subject.kind == "example":
        return f"send it in the example's fields, or name one of those it has in `with.field` instead of {field!r}"
    if field not in ("input", "output"):
        return "a span's fields are input and output"
    return supplied_by(subject.dialect, field, tool=subject.span_kind == "tool")
