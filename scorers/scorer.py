"""What a scorer is: one method that judges a subject."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import ConfigDict

from schemas.subject import Subject

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


class Scorer(Protocol):
    """Judges one subject. Its fields are its configuration."""

    async def judge(self, subject: Subject) -> Verdict:
        """Returns the verdict; whatever it raises becomes an `error` with the exception's text as reason."""
        ...


def lacks(subject: Subject, field: str) -> Verdict:
    """Returns the verdict on a subject without the field that a scorer reads."""
    return Verdict(skipped=True, reason=f"the {subject.kind} has no {field!r}; {_supplied_by(subject, field)}")


def _supplied_by(subject: Subject, field: str) -> str:
    if subject.kind == "example":
        return f"send it in the example's fields, or name one of those it has in `with.field` instead of {field!r}"
    if field not in ("input", "output"):
        return "a span's fields are input and output"
    if subject.dialect in ("otel-genai", ""):
        return "content is off by default: set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true in the agent"
    return "the instrumentation must capture content; narrow `online.filter` (kind, agent, span) to spans that have it"
