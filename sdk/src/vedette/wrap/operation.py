"""What a provider's call is: how its request, its answer and the chunks of a stream are told as attributes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from vedette.wrap.look import Attributes


class Gathering(Protocol):
    """Chunks of one stream on their way to a whole answer."""

    finished: bool
    """whether the chunk came by which the provider says that the answer is whole"""

    def add(self, chunk: Any) -> None:
        """Takes the next chunk."""

    def answer(self) -> Any:
        """Returns what came so far in the form of a whole answer."""


@dataclass(frozen=True)
class Operation:
    """One kind of call. All functions are pure and take what a provider's client sends or returns."""

    name: str
    """`gen_ai.operation.name`"""
    asked: Callable[[Any], Attributes]
    """from the body of the request"""
    answered: Callable[[Any], Attributes]
    """from a whole answer"""
    gathering: Callable[[], Gathering]
    failure: Callable[[Any], str | None] = lambda answer: None  # noqa: ARG005
    """what went wrong in a call that was answered, None when nothing did"""
