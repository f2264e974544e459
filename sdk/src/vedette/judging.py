"""Scorers that run in this process: all examples at once, as many at a time as is allowed, on one event loop."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from vedette.data import Example
from vedette.results import Outcome, ScorerData
from vedette.scorers.example_scorer import ExampleScorer

T = TypeVar("T")

Judged = tuple[list[ScorerData], float]
"""The verdicts on one example, in the order of the scorers, and the seconds that they took."""


def judge_all(
    examples: Sequence[Example], scorers: Sequence[ExampleScorer], at_once: int, done: Callable[[], None]
) -> list[Judged]:
    """Returns the verdicts by example; a scorer that raises makes an error of its own. `done` is told of each example."""

    async def all_of_them() -> list[Judged]:
        room = asyncio.Semaphore(at_once)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(at_once, "vedette-scorers"))

        async def one(example: Example) -> Judged:
            async with room:
                began = time.perf_counter()
                found = [await verdict(scorer, example) for scorer in scorers]
                done()
                return found, time.perf_counter() - began

        return list(await asyncio.gather(*map(one, examples)))

    return _finished(all_of_them())


async def verdict(scorer: ExampleScorer, example: Example) -> ScorerData:
    """Returns a scorer's verdict. Each gets a copy of the scorer: it may write its reason onto itself."""
    own = scorer.model_copy(update={"score": None, "reason": None, "error": None})
    threshold = 1.0 if own.strict_mode else own.threshold
    if not own.accepts(example):
        fields = example.get_fields()
        lacking = ", ".join(name for name in own.required_params if fields.get(name) is None)
        return _told(own, "skipped", None, threshold, error=f"the example lacks {lacking}")
    try:
        score = _number(await _score(own, example))
    except Exception as error:
        return _told(own, "error", None, threshold, error=f"{type(error).__name__}: {error}")
    if own.error:
        return _told(own, "error", None, threshold, error=str(own.error))
    return _told(own, "pass" if score >= threshold else "fail", score, threshold)


async def _score(scorer: ExampleScorer, example: Example) -> Any:
    """A plain function may block, so it gets a thread; a coroutine runs here."""
    judge: Callable[[Any], Any] = scorer.a_score_example
    if asyncio.iscoroutinefunction(judge):
        return await judge(example)
    return await asyncio.to_thread(judge, example)


def _number(score: Any) -> float:
    if not isinstance(score, (int, float)) or not math.isfinite(score):
        raise ValueError(f"a_score_example returned {score!r}; it must return a number from 0 to 1")
    return min(max(float(score), 0.0), 1.0)


def _told(
    scorer: ExampleScorer, outcome: Outcome, score: float | None, threshold: float, error: str | None = None
) -> ScorerData:
    return ScorerData(
        name=scorer.name,
        outcome=outcome,
        score=score,
        threshold=threshold,
        reason=str(scorer.reason or ""),
        error=error,
        strict_mode=scorer.strict_mode,
        evaluation_model=scorer.model,
        additional_metadata=scorer.additional_metadata or {},
    )


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns; where a loop runs already (a notebook, an asynchronous test) in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="vedette-evaluation")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]
