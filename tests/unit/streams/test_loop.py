"""What the loop does when a rebalance comes in the middle of a poll. All else is tested on a real Kafka."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.example import Example
from schemas.score import Score
from schemas.topics import Topic
from streams.loop import Loop, handled_to
from streams.settings import Settings

NAME = "vedette.examples"


@dataclass(frozen=True)
class Message:
    """As librdkafka hands it over."""

    at: tuple[int, int]

    def topic(self) -> str:
        return NAME

    def partition(self) -> int:
        return self.at[0]

    def error(self) -> None:
        return None

    def __len__(self) -> int:
        return 1


@dataclass
class Rebalanced:
    """A consumer that loses partition 0 between its first message and the others."""

    after: list[Message]
    loop: Loop = field(init=False)

    def poll(self, timeout: float) -> Message:  # noqa: ARG002
        return Message((0, 5))

    def consume(self, number: int, timeout: float) -> list[Message]:  # noqa: ARG002
        self.loop._revoked(cast("Consumer", self), [TopicPartition(NAME, 0)])
        after, self.after = self.after, []
        return after


@dataclass
class Keeper:
    """Notes what it is told."""

    told: list[tuple[str, int]] = field(default_factory=list)

    def restore(self, partition: int) -> None:
        self.told.append(("restore", partition))

    def release(self, partition: int) -> None:
        self.told.append(("release", partition))

    def changed(self) -> list[Any]:
        return []

    def due(self, partitions: object) -> list[Any]:  # noqa: ARG002
        return []


def polled(*after: Message) -> tuple[list[tuple[int, int]], list[tuple[str, int]]]:
    consumer, keeper = Rebalanced(list(after)), Keeper()
    consumer.loop = Loop("test", Settings(), {Topic.EXAMPLES: Example}, lambda _: [], keeper=keeper)
    consumer.loop._consumer = cast("Consumer", consumer)
    return [cast("Message", message).at for message in consumer.loop._poll()], keeper.told


def test_what_a_poll_brought_of_a_partition_that_goes_meanwhile_is_left_to_its_new_owner() -> None:
    assert polled(Message((1, 7)), Message((1, 8))) == ([(1, 7), (1, 8)], [("release", 0)])


def test_when_the_partition_comes_back_within_the_poll_its_messages_are_taken_once() -> None:
    assert polled(Message((0, 5)), Message((0, 6)))[0] == [(0, 5), (0, 6)]


def holding(held: int | None, handled: int) -> Loop:
    """A loop whose job holds a partition from an offset on, and that was started again when it had handled so much."""
    loop = Loop("test", Settings(), {Topic.EXAMPLES: Example}, lambda _: [], held=lambda _: held)
    loop._handled = {(Topic.EXAMPLES, 0): handled}
    return loop


@pytest.mark.parametrize(
    ("held", "handled", "read_to", "committed"),
    [(5, 0, 9, (5, 9)), (None, 0, 9, (9, 9)), (5, 20, 9, (5, 20)), (None, 20, 9, (9, 20))],
)
def test_what_is_held_is_read_again_and_what_was_handled_stays_known(
    held: int | None, handled: int, read_to: int, committed: tuple[int, int]
) -> None:
    where = holding(held, handled)._offset(NAME, 0, read_to)
    assert (where.offset, handled_to(where)) == committed


class Held(Keeper):
    """State of which a partition's first offset is told."""

    def __init__(self, held: int | None) -> None:
        super().__init__()
        self._held = held

    def held(self, partition: int) -> int | None:  # noqa: ARG002
        return self._held


def test_each_topic_is_read_again_from_where_its_own_state_begins() -> None:
    holders = {Topic.EXAMPLES: Held(5), Topic.SCORES: Held(None)}
    loop = Loop("test", Settings(), {Topic.EXAMPLES: Example, Topic.SCORES: Score}, lambda _: [], holders=holders)
    places = [loop._offset(name, 0, 9) for name in (NAME, "vedette.scores")]
    assert [(where.offset, handled_to(where)) for where in places] == [(5, 9), (9, 9)]
    loop._consumer = cast("Consumer", Rebalanced([]))
    loop._revoked(loop._consumer, [TopicPartition("vedette.scores", 0)])
    assert (holders[Topic.EXAMPLES].told, holders[Topic.SCORES].told) == ([], [("release", 0)])


def test_an_offset_without_our_metadata_is_what_was_handled() -> None:
    assert handled_to(TopicPartition(NAME, 0, 7)) == 7
    assert handled_to(TopicPartition(NAME, 0, 7, metadata="of somebody else")) == 7
