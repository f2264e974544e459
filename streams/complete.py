"""The job `complete`: joins spans with the content that log events tell, and hands them on to `vedette.spans`.

Its state is what `vedette.span-contents` holds from the oldest span or event that may still matter: that is where a partition is read
again after a restart. What was handled before is folded again then, and written once (`Loop.held`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge

from schemas.codec import Undecodable
from schemas.contents import SpanContents
from schemas.ids import record_key
from schemas.rule import Tick
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import loop
from streams.logic.join import Join
from streams.loop import Loop
from streams.records import Out, Received
from streams.settings import Settings
from streams.ticks import Ticks

JOINED = Counter(
    "vedette_complete_total", "Spans that waited and events that were late, by what became of them", ["why"]
)
REMEMBERED = Gauge("vedette_complete_spans", "Spans of which something is kept", ["partition"])


@dataclass
class Complete:
    """The joins of the partitions that this worker owns. A span waits at most `wait_ms` for its content."""

    wait_ms: int
    ticks: Ticks = field(default_factory=lambda: Ticks("complete", Topic.SPAN_CONTENTS))
    joins: defaultdict[int, Join] = field(init=False)

    def __post_init__(self) -> None:
        self.joins = defaultdict(lambda: Join(self.wait_ms))

    def handle(self, batch: Sequence[Received]) -> list[Out]:
        """Returns the spans that go on after a batch.

        Raises:
            Undecodable: a record is not what it must be; nothing is folded then.

        """
        outs: list[Out] = []
        for received, contents in [(received, _contents(received)) for received in batch]:
            self.ticks.read(received.partition)
            join, now = self.joins[received.partition], received.timestamp_ms
            made = join.pass_time(now) if contents is None else join.take(contents, now, received.offset)
            outs += [Out(Topic.SPANS, record_key(chunk.project, chunk.trace_id), chunk) for chunk in made]
        self._count({received.partition for received in batch})
        return outs

    def _count(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            join = self.joins[partition]
            REMEMBERED.labels(partition).set(len(join))
            for why, number in join.counted.items():
                JOINED.labels(why).inc(number)
            join.counted.clear()

    def held(self, partition: int) -> int | None:
        """Returns the offset from which a partition has to be read to know again what is known now; None: nothing is."""
        return self.joins[partition].since

    def restore(self, partition: int) -> None:
        """Begins a partition that has come; reading it again brings back what was known."""
        self.release(partition)

    def release(self, partition: int) -> None:
        """Forgets a partition that has gone."""
        self.joins.pop(partition, None)
        self.ticks.forget(partition)
        REMEMBERED.labels(partition).set(0)

    def changed(self) -> tuple[Out, ...]:
        """Returns nothing: the input itself keeps the state."""
        return ()

    def due(self, partitions: Iterable[int]) -> list[Out]:
        """Returns the ticks that tell the time where nothing else does."""
        return self.ticks.due(partitions)


def _contents(received: Received) -> SpanContents | None:
    """What a record holds; None: it is a tick."""
    if received.is_tick:
        return None
    contents = received.of(SpanContents)
    if received.key != record_key(contents.project, contents.trace_id):
        raise Undecodable(f"the key of a span's contents is [project, trace], not {received.key!r}")
    return contents


def job(settings: Settings) -> Loop:
    """Returns the job, ready to run."""
    complete = Complete(round(settings.content_wait_s * 1000))
    return Loop(
        "complete",
        settings,
        reads={Topic.SPAN_CONTENTS: SpanContents},
        handle=complete.handle,
        writes=(TraceChunk, Tick),
        keeper=complete,
        held=complete.held,
    )


def main(settings: Settings) -> None:
    """Runs the join until SIGTERM."""
    loop.run(job(settings))
