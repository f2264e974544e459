"""What scorers of examples and of traces share."""

from vedette.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    from vedette.model import Any


class BaseScorer(Model):
    """Fields that a scorer may set: `name` and `threshold` as it is uploaded, `reason` and `error` when it judges."""

    score_type: str = "Custom"
    name: str = ""
    class_name: str | None = None
    threshold: float = 0.5
    score: float | None = None
    score_breakdown: dict[str, Any] | None = None
    reason: str | None = None
    success: bool | None = None
    error: str | None = None
    model: str | None = None
    strict_mode: bool = False
    server_hosted: bool = True
    required_params: list[Any] = []  # noqa: RUF012 - every instance gets its own copy
    additional_metadata: dict[str, Any] | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Names a scorer that has no name after its class; a strict one has a threshold of 1."""
        del context
        self.class_name = type(self).__name__
        self.name = self.name or self.class_name
        if self.strict_mode:
            self.threshold = 1.0
