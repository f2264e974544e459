"""Judges, the newer form of scorers: `score` returns a response with its value and reason."""

from typing import Any, ClassVar, Generic, TypeVar

from vedette.model import Model

R = TypeVar("R")


class Citation(Model):
    """The attribute of a span that a verdict rests on."""

    span_id: str
    span_attribute: str


class Category(Model):
    """One answer that a judge may choose."""

    value: str
    description: str = ""


class BaseResponse(Model):
    """A verdict: its value and why."""

    value: Any
    reason: str = ""
    citations: list[Any] | None = None


class BinaryResponse(BaseResponse):
    """Passes or not."""

    value: bool


class NumericResponse(BaseResponse):
    """0 to 1."""

    value: float


class CategoricalResponse(BaseResponse):
    """One of the `categories` that a derived class names."""

    value: str
    categories: ClassVar[list[Category]] = []

    def model_post_init(self, context: Any, /) -> None:
        """Refuses a value that is none of the categories."""
        del context
        names = [one.value for one in self.categories]
        if names and self.value not in names:
            raise ValueError(f"{self.value!r} is none of the categories {', '.join(names)}")


class Judge(Generic[R]):
    """Derive `Judge[BinaryResponse]` (or another response) and write `score`."""

    async def score(self, data: Any) -> R:
        """Returns the response on an example."""
        raise NotImplementedError(f"{type(self).__name__} must define `async def score(self, data)`")


class ExampleCustomScorer(Judge[R]):
    """The older name of `Judge`."""
