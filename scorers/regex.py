"""`type: regex`"""

import asyncio
from functools import cached_property
from typing import Self

import regex
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.scorer import SETTINGS, Verdict, lacks

MOST = 1000
AT_ONCE_S = 0.02
"""A pattern that needs longer goes on in a thread."""


@dataclass(frozen=True, config=SETTINGS)
class Regex:
    """Reads one field; 1 when the pattern is found (with `forbidden`: when it is not), `measured` is how often."""

    pattern: str = Field(min_length=1, max_length=10_000)
    field: str = "output"
    forbidden: bool = False
    ignore_case: bool = False
    seconds: float = Field(default=1.0, gt=0, le=60)
    """A pattern that needs longer on a text is an `error`: it backtracks catastrophically."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            _ = self._compiled
        except regex.error as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}") from None
        return self

    @cached_property
    def _compiled(self) -> "regex.Pattern[str]":
        return regex.compile(self.pattern, regex.IGNORECASE if self.ignore_case else 0)

    async def judge(self, subject: Subject) -> Verdict:
        """Counts the pattern in the field, at most 1,000 times."""
        text = subject.text(self.field)
        if text is None:
            return lacks(subject, self.field)
        try:
            count, first = self._found(text, min(AT_ONCE_S, self.seconds))
        except TimeoutError:  # it must not hold back everybody else of this worker
            count, first = await asyncio.to_thread(self._found, text, self.seconds)
        reason = f"{self.field} matches {first[:100]!r}" if count else f"{self.field} does not match {self.pattern!r}"
        return Verdict(value=float((count > 0) != self.forbidden), measured=count, reason=reason)

    def _found(self, text: str, seconds: float) -> tuple[int, str]:
        count, first = 0, ""
        try:
            for found in self._compiled.finditer(text, timeout=seconds, concurrent=True):
                count, first = count + 1, first or found.group()
                if count == MOST:
                    break
        except TimeoutError:
            raise TimeoutError(f"{self.pattern!r} needs more than {seconds:g} s on this text: it backtracks") from None
        return count, first
