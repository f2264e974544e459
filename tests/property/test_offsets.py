"""Acknowledgement in offset order, whatever order the broker's acks come in."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.logic.offsets import InFlight, OffsetTracker

PARTITIONS = (0, 1, 2)


@dataclass
class Partition:
    """What the test knows of one partition."""

    tracker: OffsetTracker[int] = field(default_factory=OffsetTracker)
    entries: list[InFlight[int]] = field(default_factory=list)
    missing: dict[int, int] = field(default_factory=dict)
    """Acknowledgements that have not come yet, by offset."""
    acked: list[int] = field(default_factory=list)

    def acknowledge(self, offset: int) -> None:
        self.missing[offset] -= 1
        self.acked += self.tracker.done(self.entries[offset])


class Acknowledgement(RuleBasedStateMachine):
    """Events begin in offset order; their futures are added and end in any order, over several partitions at once."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions = {number: Partition() for number in PARTITIONS}

    @rule(number=st.sampled_from(PARTITIONS), futures=st.integers(0, 4))
    def begin(self, number: int, futures: int) -> None:
        partition = self.partitions[number]
        offset = len(partition.entries)
        entry = partition.tracker.start(offset)
        partition.tracker.more(entry, futures)
        partition.entries.append(entry)
        partition.missing[offset] = 1 + futures

    @precondition(lambda self: self.unfinished())
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        number, offset = data.draw(st.sampled_from(self.unfinished()))
        self.partitions[number].acknowledge(offset)

    @precondition(lambda self: self.unfinished())
    @rule()
    def acknowledge_the_newest(self) -> None:
        number, offset = self.unfinished()[-1]
        self.partitions[number].acknowledge(offset)

    def unfinished(self) -> list[tuple[int, int]]:
        found = [(n, offset) for n, of in self.partitions.items() for offset, count in of.missing.items() if count]
        return sorted(found, key=lambda place: place[1])

    @invariant()
    def the_acked_are_exactly_what_stands_before_the_first_one_in_flight(self) -> None:
        for partition in self.partitions.values():
            in_flight = [offset for offset, count in partition.missing.items() if count]
            first = min(in_flight, default=len(partition.entries))
            assert partition.acked == list(range(first))
            assert len(partition.tracker) == len(partition.entries) - first

    def teardown(self) -> None:
        while places := self.unfinished():
            number, offset = places[len(places) // 2]
            self.partitions[number].acknowledge(offset)
        for partition in self.partitions.values():
            assert partition.acked == list(range(len(partition.entries)))
            assert len(partition.tracker) == 0


TestAcknowledgement = pytest.mark.filterwarnings("default")(Acknowledgement.TestCase)
TestAcknowledgement.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
