"""What the parts of one tracer share: its switches, where its spans go, what stands on each of them."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec

from opentelemetry.trace import NoOpTracer, Tracer

if TYPE_CHECKING:
    from vedette.outbox import Outbox
    from vedette.recording import Recording
    from vedette.sender import Sender

P = ParamSpec("P")

log = logging.getLogger("vedette")

REPEATED_S = 60
_told: dict[str, float] = {}


def tell(words: str, *values: object, level: int = logging.WARNING) -> None:
    """Logs a warning, each wording once a minute at most."""
    now = time.monotonic()
    if now - _told.get(words, -REPEATED_S) >= REPEATED_S:
        _told[words] = now
        log.log(level, words, *values)


@dataclass(eq=False)
class Core:
    """One tracer's inside."""

    project: str
    attributes: dict[str, str]
    """what stands on each of its spans: the environment"""
    outbox: Outbox | None = None
    """None when there is no address to report to"""
    sender: Sender | None = None
    otel: Tracer = field(default_factory=NoOpTracer)
    wants_spans: bool = True
    wants_scores: bool = True
    on: bool = False
    judging: bool = False

    def switch(self, *, spans: bool, scores: bool) -> None:
        """Takes over what the environment allows; a tracer without an address stays off."""
        self.on = self.outbox is not None and self.wants_spans and spans
        self.judging = self.on and self.wants_scores and scores

    def put_span(self, recording: Recording) -> None:
        """Hands an ended span over."""
        if self.outbox is not None and self.on and recording.span.get_span_context().trace_flags.sampled:
            self.outbox.put_recording(recording)

    def trouble(self, words: str, error: BaseException) -> None:
        """Notes that a piece of ours failed where its host must not notice."""
        tell(f"{words}; the program goes on without it: %s", type(error).__name__)
        log.debug(words, exc_info=error)


cores: list[Core] = []
"""all tracers that were made and not shut down, the oldest first"""


def current() -> Core | None:
    """Returns the tracer that takes what belongs to none: the oldest."""
    return cores[0] if cores else None


def guarded(method: Callable[P, None]) -> Callable[P, None]:
    """Keeps every failure of ours from the program that calls."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:
            tell("%s failed; the program goes on without it: %s", method.__name__, type(error).__name__)
            log.debug("%s failed", method.__name__, exc_info=error)

    return call
