"""`type: number`"""

import math
import re
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.said import as_json, said
from scorers.scorer import SETTINGS, Verdict, lacks, lacks_number

_IN_TEXT = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})++(?![\d,])|\d++)(?:\.\d++)?(?:[eE][-+]?\d{1,3})?(?!\w)")
"""Commas part thousands, a point begins the decimals."""
_STEP = re.compile(r"[^.\[\]]+")
_LONGEST = 400

Name = Literal["duration_ms", "cost_usd", "tokens", "input_tokens", "output_tokens", "error"]


@dataclass(frozen=True, config=SETTINGS)
class Number:
    """Reads a number of the span, in a JSON field or in a text; 1 when it is in the range, `measured` is the number."""

    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    number: Name | None = Field(default=None, description="one of the span's own numbers, instead of a field")
    field: str = "output"
    path: str = Field(default="", max_length=1000, description="where in the field's JSON: `items[0].price`")

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min:g} is more than `max` {self.max:g}: nothing could pass")
        if self.number and self.path:
            raise ValueError("`path` is a place in a field's JSON; leave it or `number` out")
        return self

    async def judge(self, subject: Subject) -> Verdict:
        """Finds the number and compares it with both ends, which belong to the range."""
        if self.number:
            own = subject.numbers.get(self.number)
            return lacks_number(subject, self.number) if own is None else self._judged(self.number, own)
        text = subject.text(self.field)
        found = said(subject, self.field)
        if text is None or found is None:
            return lacks(subject, self.field)
        if not self.path:
            first = _as_number(found.text) or _first(found.text)
            return self._absent("there is none") if first is None else self._judged(self.field, first)
        values = [_at(as_json(one), self.path) for one in (found.text, text)]  # in what is said, else in its envelope
        value = next((value for value in values if value is not None), None)
        number = _as_number(value)
        if number is None:
            return self._absent("it is absent" if value is None else f"it is {_type(value)}")
        return self._judged(f"{self.field} at {self.path}", number)

    def _judged(self, what: str, number: float) -> Verdict:
        low = self.min is not None and number < self.min
        high = self.max is not None and number > self.max
        ends = [f"at least {self.min:g}"] if self.min is not None else []
        ends += [f"at most {self.max:g}"] if self.max is not None else []
        relation = "not " if low or high else ""
        reason = f"{what} is {number:.10g}, {relation}{' and '.join(ends)}"
        return Verdict(value=float(not (low or high)), measured=number, reason=reason)

    def _absent(self, why: str) -> Verdict:
        where = f" at {self.path!r}" if self.path else ""
        return Verdict(skipped=True, reason=f"{self.field} has no number{where}: {why}")


def _first(text: str) -> float | None:
    found = _IN_TEXT.search(text)
    return None if found is None else _as_number(found.group().replace(",", ""))


def _as_number(value: Any) -> float | None:
    """A finite number, from itself or its text; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and (len(value) > _LONGEST or "_" in value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _at(value: Any, path: str) -> Any:
    """What stands at a path of keys and indexes, or None."""
    for step in _STEP.findall(path):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and len(step) < 10:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _type(value: Any) -> str:
    for kind, name in ((bool, "a truth value"), (str, "a text"), (list, "an array"), (dict, "an object")):
        if isinstance(value, kind):
            return name
    return "not finite"
