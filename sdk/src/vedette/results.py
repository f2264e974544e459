"""What an evaluation found: by example and scorer, as a table, and as the words of a failed assertion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vedette.data import Example
from vedette.freeze import dump, freeze

Outcome = Literal["pass", "fail", "scored", "error", "skipped"]

GOOD: tuple[Outcome, ...] = ("pass", "scored")
ROWS = 50
"""of a table"""

EXAMPLE_CHARS, REASON_CHARS = 60, 300


@dataclass(frozen=True)
class ScorerData:
    """One scorer's verdict on one example. `error` tells why there is no `score`."""

    name: str
    outcome: Outcome
    score: float | None = None
    threshold: float | None = None
    reason: str = ""
    error: str | None = None
    strict_mode: bool = False
    evaluation_model: str | None = None
    additional_metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether it passed; what could not be judged did not."""
        return self.outcome in GOOD

    @property
    def words(self) -> str:
        """Value, threshold and reason in one line."""
        if self.score is None:
            return self.error or self.reason or "no value"
        sign = "<" if self.outcome == "fail" else "≥"
        bound = "" if self.threshold is None else f" {sign} {self.threshold:g}"
        return f"{self.score:g}{bound}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class ScoringResult:
    """All verdicts on one example."""

    data_object: Example
    scorers_data: list[ScorerData]
    run_duration: float | None = None
    """seconds that its scorers took in this process"""

    @property
    def success(self) -> bool:
        """Whether every scorer passed it."""
        return all(one.success for one in self.scorers_data)

    @property
    def name(self) -> str | None:
        """The example's."""
        return self.data_object.name


class Results(list[ScoringResult]):
    """The results of one run, in the order of its examples."""

    def __init__(
        self,
        results: Sequence[ScoringResult],
        run_name: str = "",
        run_id: str = "",
        project_name: str = "",
        url: str = "",
    ) -> None:
        super().__init__(results)
        self.run_name = run_name
        self.run_id = run_id
        self.project_name = project_name
        self.url = url
        """where the server shows them; empty when they were not sent"""

    @property
    def success(self) -> bool:
        """Whether every example passed."""
        return all(one.success for one in self)

    def table(self) -> str:
        """Returns a line for each verdict, as plain text."""
        rows = [("#", "example", "scorer", "outcome", "value and reason")]
        rows += [
            (str(number), _shown(result.data_object, EXAMPLE_CHARS), one.name, one.outcome, _line(one.words))
            for number, result in enumerate(self, 1)
            for one in result.scorers_data
        ]
        more = len(rows) - 1 - ROWS
        return "\n".join([self._headline(), *_aligned(rows[: ROWS + 1]), *([f"… and {more} more"] if more > 0 else [])])

    def assert_passed(self) -> None:
        """Returns when every example passed.

        Raises:
            AssertionError: one did not; the text tells which, by which scorer and why.

        """
        __tracebackhide__ = True
        if not self.success:
            raise AssertionError("\n".join(self._failures()))

    def _headline(self) -> str:
        passed = sum(one.success for one in self)
        return f"run {self.run_name!r} in project {self.project_name}: {passed} of {len(self)} examples passed"

    def _failures(self) -> Iterator[str]:
        yield self._headline()
        for number, result in enumerate(self, 1):
            if not result.success:
                yield f"  example {number} ({result.data_object.example_id}): {_shown(result.data_object, 4 * EXAMPLE_CHARS)}"
                for one in result.scorers_data:
                    if not one.success:
                        yield f"    {one.outcome}: {one.name}: {_line(one.words)}"
        if self.url:
            yield f"  all results: {self.url}"


def _shown(example: Example, room: int) -> str:
    text = " ".join(f"{name}={dump(freeze(value))!r}" for name, value in example.get_fields().items())
    return f"{example.name}: {_cut(text, room)}" if example.name else _cut(text, room)


def _line(text: str) -> str:
    return _cut(" ".join(text.split()), REASON_CHARS)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [f"  {line.rstrip()}" for line in padded]
