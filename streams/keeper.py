"""What the loop asks of a job's state: it goes with the partitions, and is kept with what its batches caused."""

from collections.abc import Iterable
from typing import Protocol

from streams.records import Out


class Keeper(Protocol):
    """State that goes with the partitions of a topic that a job reads."""

    def restore(self, partition: int) -> None:
        """Called when a partition has come, before its first record is handled."""
        ...

    def release(self, partition: int) -> None:
        """Called when a partition has gone; nothing of it is in flight."""
        ...

    def changed(self) -> Iterable[Out]:
        """Returns what has to be kept of the batch that was just handled; written when the batch's own records are acknowledged."""
        ...

    def due(self, partitions: Iterable[int]) -> Iterable[Out]:
        """Returns what the job has to write by itself now. Called between batches, at least every half second."""
        ...


class Holder(Keeper, Protocol):
    """State whose changelog is the topic itself."""

    def held(self, partition: int) -> int | None:
        """Returns from where a partition has to be read again after a restart, as `Loop.held` does."""
        ...
