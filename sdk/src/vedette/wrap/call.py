"""The life of one call of a model: from its request to its answer, to the end of its stream, or to its failure."""

import queue
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vedette.core import guarded, log, tell
from vedette.recording import Recording, is_on, llm_span, text
from vedette.wrap.look import Attributes
from vedette.wrap.operation import Gathering, Operation

if TYPE_CHECKING:
    from vedette.tracer import Tracer

CONTENT = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "vedette.input",
    }
)
"""Attributes that are written as text."""


class StreamCutError(Exception):
    """A stream ended without the chunk by which its provider says that the answer is whole."""


class AnswerError(Exception):
    """The provider took the request and answered with an error."""


class Call:
    """One call that is being recorded. Nothing here raises; what comes after its end changes nothing."""

    def __init__(self, recording: Recording, operation: Operation, started: float) -> None:
        self._recording = recording
        self._operation = operation
        self._started = started
        self._gathering: Gathering | None = None
        self._ended = False
        self.reading = False
        """whether a chunk is awaited right now, so that whatever closes its response belongs to the stream"""

    @guarded
    def answered(self, answer: Any) -> None:
        """Tells a whole answer and ends."""
        self._end(None, answer)

    @guarded
    def failed(self, error: BaseException) -> None:
        """Marks the span as failed, tells what came before and ends."""
        self._end(error)

    @guarded
    def chunk(self, chunk: Any) -> None:
        """Takes a chunk of a stream."""
        if self._gathering is None:
            self._gathering = self._operation.gathering()
            waited = time.perf_counter() - self._started
            self._recording.set(**{"gen_ai.response.time_to_first_chunk": waited})
        self._gathering.add(chunk)

    @guarded
    def finished(self) -> None:
        """Ends with a stream that has no more chunks; one that lacks its last is marked as failed."""
        whole = self._gathering is not None and self._gathering.finished
        self._end(None if whole else StreamCutError("the stream ended before the answer was whole"))

    @guarded
    def closed(self) -> None:
        """Ends with a stream that nobody will read on; what was not read is not missed."""
        self._end(None)

    def _end(self, error: BaseException | None, answer: Any = None) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            if error is not None:
                self._recording.fail(error)
            if answer is None and self._gathering is not None:
                answer = self._gathering.answer()
            if answer is not None:
                self._tell(answer)
        finally:
            self._recording.end()

    def _tell(self, answer: Any) -> None:
        self._recording.set(**told(self._operation.answered(answer)))
        words = self._operation.failure(answer)
        if words is not None:
            self._recording.fail(AnswerError(words))

    def __del__(self) -> None:
        """A dropped stream ends in a thread of its own: here any lock may be held by the code that was interrupted."""
        if not self._ended:
            _dropped.put(self)


def begin(tracer: "Tracer | None", operation: Operation, provider: Attributes, body: Any) -> Call | None:
    """Starts recording a call, None when the tracer is off.

    Args:
        tracer: takes the span; without one the current one does.
        operation: what kind of call it is.
        provider: attributes of whoever is called.
        body: the request as the provider gets it.
    """
    if not is_on(tracer):
        return None
    try:
        asked = told(operation.asked(body))
    except Exception as error:
        tell("the request to a model could not be read and is not told: %s", type(error).__name__)
        log.debug("the request to a model could not be read", exc_info=error)
        asked = {}
    _mind_the_dropped()
    model = asked.get("gen_ai.request.model")
    name = f"{operation.name} {model}" if model else operation.name
    started = time.perf_counter()
    return Call(
        llm_span(tracer, name, {"gen_ai.operation.name": operation.name, **provider, **asked}), operation, started
    )


def told(attributes: Mapping[str, Any]) -> Attributes:
    """Returns the attributes that say something, content as text."""
    known = {name: value for name, value in attributes.items() if value is not None}
    return {
        name: text(value) if name in CONTENT else value for name, value in known.items() if value or name not in CONTENT
    }


_dropped: "queue.SimpleQueue[Call]" = queue.SimpleQueue()
_worker = threading.Thread()


@guarded
def _mind_the_dropped() -> None:
    """Keeps the thread alive that ends dropped streams, also after a fork."""
    global _worker  # noqa: PLW0603
    if not _worker.is_alive():
        _worker = threading.Thread(target=_end_dropped, name="vedette-dropped-streams", daemon=True)
        _worker.start()


def _end_dropped() -> None:
    while True:
        _dropped.get().closed()
