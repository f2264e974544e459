"""What a check says: all is well, something is wrong and this mends it, or it could not be told."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

State = Literal["ok", "finding", "unknown"]


@dataclass(frozen=True)
class Result:
    """One thing that was looked at. What could not be told is not bad."""

    state: State
    what: str
    value: str = ""
    """How it is, with numbers and units."""
    fix: str = ""
    """One line, of a finding always."""
    check: str = ""
    """The name of the check; whoever runs it writes it in."""

    def told(self) -> dict[str, str]:
        """Returns it as JSON data."""
        return asdict(self)

    def of(self, check: str) -> "Result":
        """Returns the same with the name of its check."""
        return replace(self, check=check)


def ok(what: str, value: str = "") -> Result:
    """Returns that something is as it must be."""
    return Result("ok", what, value)


def finding(what: str, value: str, fix: str) -> Result:
    """Returns that something is wrong, and what mends it."""
    return Result("finding", what, value, fix)


def unknown(what: str, why: str, fix: str = "") -> Result:
    """Returns that something could not be told, and why."""
    return Result("unknown", what, why, fix)


Look = Callable[[], Iterable[Result]]


@dataclass(frozen=True)
class Check:
    """A named question about an installation."""

    name: str
    look: Look
    needs: tuple[str, ...] = ()
    """Names of checks without a finding, before which this one cannot be asked."""
