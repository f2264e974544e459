"""Two releases of one job that send each other a record: the older one does not know all of its fields.

Each is a process of its own (`tests.support.older`, `tests.support.newer`), as in a cluster that is brought from one release to the next.
"""

from collections.abc import Sequence

from schemas.avro import TOPICS
from schemas.ids import record_key
from schemas.record import Record
from schemas.topics import Topic
from streams.loop import Loop, run
from streams.records import Out, Received
from streams.settings import Settings

HOPS = 6


class OldBall(Record):
    """What the older release knows of it."""

    project: str
    to: str
    hops: int = 0


class NewBall(OldBall):
    """The newer release has added two fields, each with a default."""

    mood: str = "calm"
    seen: tuple[str, ...] = ()
    """The mood in which it came."""


OldBall.__name__ = NewBall.__name__ = "Ball"


def play(settings: Settings, own: str, other: str, cls: type[OldBall]) -> None:
    """Hits every ball that comes back to the other release, `HOPS` times in all."""
    TOPICS[cls] = (Topic.EXAMPLES,)

    def hit(batch: Sequence[Received]) -> list[Out]:
        balls = [received.of(cls) for received in batch]
        return [out(_hit(ball, other)) for ball in balls if ball.to == own and ball.hops < HOPS]

    run(Loop(own, settings, {Topic.EXAMPLES: cls}, hit, writes=(cls,), patience_s=1))


def _hit(ball: OldBall, other: str) -> OldBall:
    if isinstance(ball, NewBall):
        return NewBall(project=ball.project, to=other, hops=ball.hops + 1, mood="glad", seen=(ball.mood,))
    return OldBall(project=ball.project, to=other, hops=ball.hops + 1)


def out(ball: OldBall) -> Out:
    """Returns the record to write for a ball."""
    return Out(Topic.EXAMPLES, record_key(ball.project, "ball"), ball)
