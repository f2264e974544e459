"""What goes into the assembly of traces and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.score import Score
from schemas.span import SpanContext, TraceChunk


@dataclass(frozen=True)
class Undecided:
    """A span, alone in its chunk, or a score, and the fields that have to be known of its span."""

    what: TraceChunk | Score
    span_id: str
    lacks: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """What one record says of a trace, and what is asked of it by the configuration in effect."""

    project: str
    trace_id: str
    whole: TraceChunk | None = None
    """Spans of a trace that is to be judged as a whole."""
    context: Sequence[SpanContext] = ()
    undecided: Sequence[Undecided] = ()
    expected: Sequence[str] = ()
    """Spans of a trace to be judged that wait for their content."""


@dataclass(frozen=True)
class Decided:
    """A span or score, before and after it has what its ancestors supply."""

    before: TraceChunk | Score
    after: TraceChunk | Score


@dataclass(frozen=True)
class Whole:
    """A trace that is complete, or did not become so in time."""

    chunk: TraceChunk
    attempt: int
    """0: the first time; n: late spans made it another, the nth time."""


Made = Decided | Whole
