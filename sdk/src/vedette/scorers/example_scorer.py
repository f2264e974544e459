"""A scorer in Python: derive a class, give it a name, write `a_score_example`, upload the file."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from pydantic import BaseModel, ConfigDict

from vedette.data import Example


class ExampleScorer(BaseModel):
    """Judges examples: 0 is the worst, 1 the best, below the threshold it fails.

    With `server_hosted` it runs in the server's sandbox: `vedette upload_scorer FILE [REQUIREMENTS]`.
    """

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    name: str = ""
    threshold: float = 0.5
    score: float | None = None
    reason: str | None = None
    success: bool | None = None
    error: str | None = None
    model: str | None = None
    strict_mode: bool = False
    server_hosted: bool = False
    required_params: list[str] = []
    additional_metadata: dict[str, Any] | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Names a scorer that has no name after its class."""
        del context
        if not self.name:
            self.name = type(self).__name__

    def a_score_example(self, example: Any) -> Awaitable[float] | float:
        """Returns the score of an example; `self.reason` may tell why. A plain function may block: it gets a thread.

        Raises:
            NotImplementedError: the class does not say how it judges.

        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `async def a_score_example(self, example)`, which returns 0 to 1"
        )

    def accepts(self, example: Example) -> bool:
        """Returns whether the example has every field that the scorer needs."""
        fields = example.get_fields()
        return all(fields.get(name) is not None for name in self.required_params)
