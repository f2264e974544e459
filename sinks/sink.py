"""What a sink is, and the two kinds of failure it knows."""

from typing import Protocol

from sinks.message import Message


class Transient(Exception):
    """It may go through later: try again, after `retry_after_s` if the other side said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Permanent(Exception):
    """It will never go through: keep it with its reason and go on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Sink(Protocol):
    """A place where alerts are told. A frozen dataclass with one method: its fields are its configuration."""

    async def send(self, message: Message) -> str:
        """Tells `message` once and returns the destination's own reference of it, which later messages of the alert bring back.

        It never tries again by itself: whoever keeps the ledger does.

        Raises:
            Transient: it may go through later.
            Permanent: it never will; the reason says what to do.

        """
        ...
