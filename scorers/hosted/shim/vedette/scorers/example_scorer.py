"""A scorer that judges one example."""

from typing import Any

from vedette.scorers.base import BaseScorer


class ExampleScorer(BaseScorer):
    """Derive a class and write `a_score_example`."""

    async def a_score_example(self, example: Any) -> float:
        """Returns 0 (the worst) to 1 (the best); `self.reason` may tell why."""
        raise NotImplementedError(f"{type(self).__name__} must define `async def a_score_example(self, example)`")
