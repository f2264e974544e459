"""A language model as a judge asks it, and the ways in which it does not answer.

Besides these, `scorers.scorer.Transient` (asked again later) and `Permanent` (never) are raised as by any scorer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

from scorers.answer import Schema


class Message(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Answer:
    """What a model answered, and what that cost."""

    text: str
    usd: float = 0.0


class NotAsked(Exception):
    """The model was not asked, and asking again will not help: an operator has to act, or the day to end. The subject is skipped."""


class TooLong(Exception):
    """The model cannot read so much at once."""


class Model(Protocol):
    """A language model."""

    async def ask(self, messages: Sequence[Message], schema: Schema) -> Answer:
        """Returns the model's answer to a conversation, which should be JSON of a schema, and may be anything.

        Raises:
            Transient: it cannot answer now.
            Permanent: it refuses, or the provider refuses the question.
            NotAsked: nobody may ask it, with what would change that.
            TooLong: the conversation is longer than it reads.

        """
        ...
