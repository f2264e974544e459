"""The job `later`: lets go what waits on `vedette.score-later` when its time or its scorer has come.

Its state is what that topic holds from the first record that still waits: there a partition is read again after a restart
(`Loop.held`). Payloads stay on the topic and are read again when their turn comes. First the request or the score is acknowledged,
then the marker of its end is written: a crash between the two lets go twice, and ids make that harmless.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog
from prometheus_client import REGISTRY
from prometheus_client import Counter as Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.later import LaterRequest
from schemas.request import ScoreRequest
from schemas.score import Score
from schemas.topics import CONFIGS, Topic
from scorers.scorer import Verdict
from streams import loop
from streams.config_feed import ConfigFeed
from streams.logic.configuration import Configuration
from streams.logic.in_effect import Remembered, named_attributes
from streams.logic.later import GiveUp, Terms, key, released
from streams.logic.retention import HOUR_MS, parse
from streams.logic.sampling import TOPIC_OF_CLASS, topic_of_type
from streams.logic.waiting import Ended, Pace, Place, WaitingRoom
from streams.loop import Loop
from streams.payloads import OnTopic, Payloads
from streams.records import Out, Received
from streams.settings import Settings
from streams.verdict import score_of

log = structlog.get_logger()

AT_ONCE = 200
"""So many of a partition are let go between two batches."""
AGAIN_MS = 5000
"""Whose payload could not be read has their turn again after this."""
SHOWN = 100
"""Scorers that `/metrics` names; the rest is summed up."""

ENDED = Metric("vedette_later_ended_total", "Waits that ended: released, given up, or lost with their payload", ["how"])

_NAMED = Remembered(named_attributes)


def terms_of(settings: Settings) -> Terms:
    """Returns how long this installation lets a pair wait: an hour less than its topic keeps payloads, at most."""
    topic = Topic.SCORE_LATER
    kept_ms = parse(settings.retention).of_topic(topic, CONFIGS[topic]).retention_ms
    wait_ms = min(round(settings.later_wait_s * 1000), kept_ms - HOUR_MS)
    return Terms(wait_ms, settings.later_tries, settings.later_most)


@dataclass
class Later:
    """The waiting rooms of the partitions that this worker owns, and who leaves them."""

    terms: Terms
    pace: Pace
    payloads: Payloads
    configuration: Callable[[], Configuration | None]
    """None: it may lack something that is in effect; nobody leaves then."""
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    rooms: dict[int, WaitingRoom] = field(default_factory=dict)
    _markers: list[Out] = field(default_factory=list)
    """Of those whose request or score was handed over by the last call of `due`."""

    def handle(self, batch: Sequence[Received]) -> list[Out]:
        """Takes who comes, and strikes off who has left.

        Raises:
            ValueError: a record is not what it must be.

        """
        for received in batch:
            self.rooms[received.partition].fold(received.of(LaterRequest), received.offset, self.now_ms())
        return []

    def held(self, partition: int) -> int | None:
        """Returns the offset from which a partition has to be read to know again who waits; None: nobody does."""
        return self.rooms[partition].held()

    def restore(self, partition: int) -> None:
        """Begins a partition that has come; reading it again brings back who waits."""
        self.rooms[partition] = WaitingRoom(self.terms, self.payloads.end(partition), self.now_ms())

    def release(self, partition: int) -> None:
        """Forgets a partition that has gone."""
        self.rooms.pop(partition, None)

    def changed(self) -> tuple[Out, ...]:
        """Returns nothing: the input itself keeps the state."""
        return ()

    def due(self, partitions: Iterable[int]) -> Iterator[Out]:
        """Yields the markers of the last call, whose records are acknowledged now, and lets go whose turn has come."""
        markers, self._markers = self._markers, []
        yield from markers
        configuration, now_ms = self.configuration(), self.now_ms()
        for partition in partitions if configuration else ():
            if configuration and self.rooms[partition].is_live(now_ms):
                yield from self._let_go(partition, configuration, now_ms)

    def _let_go(self, partition: int, configuration: Configuration, now_ms: int) -> Iterator[Out]:
        room = self.rooms[partition]
        turns = islice(room.due(configuration, self.pace, now_ms), AT_ONCE)
        ended = deque(sorted(turns, key=lambda one: one.waiter.offset))
        for later in self.payloads.read(partition, [one.waiter.offset for one in ended]):
            yield from self._leave(ended.popleft(), later, configuration, now_ms)
        for one in ended:
            room.again(one, now_ms + AGAIN_MS)

    def _leave(
        self, ended: Ended, later: LaterRequest | None, configuration: Configuration, now_ms: int
    ) -> Iterator[Out]:
        project, scorer, _ = ended.waiter.wish.place
        if later is None:
            log.error("payload is gone", project=project, scorer=scorer, offset=ended.waiter.offset)
        else:
            yield outcome(ended, later, configuration, now_ms)
        given_up = later is None or isinstance(ended.end, GiveUp)
        ENDED.labels("lost" if later is None else "given up" if given_up else "released").inc()
        marker = LaterRequest(
            project=project, scorer=scorer, later_id=ended.later_id, state="given up" if given_up else "released"
        )
        self._markers.append(Out(Topic.SCORE_LATER, key(marker), marker))


def outcome(ended: Ended, later: LaterRequest, configuration: Configuration, now_ms: int) -> Out:
    """Returns what the end of a wait causes: a request for the workers of its class, or the score that tells why there is none."""
    request, pair, subject = later.asked
    where = record_key(request.project, request.trace_id or subject.subject_id)
    if isinstance(ended.end, GiveUp):
        named = _NAMED.at(configuration, request.project, request.ingested_at)
        verdict = Verdict(skipped=True, reason=ended.end.reason)
        waited = pair.model_copy(update={"give_up_at": later.give_up_at})
        return Out(
            Topic.SCORES, where, score_of(request, waited, verdict, "", named, now_ms, tries=later.tries)
        )  # fmt: skip
    found = ended.end.version
    topic = (
        topic_of_type(ScorerSpec.model_validate_json(found.spec).type)
        if found
        else TOPIC_OF_CLASS[later.scorer_class or "code"]
    )
    return Out(topic, where, released(later, found))


class Waiting(Collector):
    """How many wait for which scorer; those of which most wait by name."""

    def __init__(self, later: Later) -> None:
        self._later = later

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields the gauge."""
        labels = ("project", "scorer", "reason")
        gauge = GaugeMetricFamily("vedette_later_waiting", "Evaluations that wait, and what for", labels=labels)
        count: Counter[Place] = Counter()
        for room in list(self._later.rooms.values()):
            count.update(room.count.copy())
        for place, number in shown(count).items():
            gauge.add_metric(place, number)
        yield gauge


def shown(count: Counter[Place]) -> Counter[Place]:
    """Returns the largest counts as they are, and the sum of the rest under no project and scorer."""
    found: Counter[Place] = Counter()
    for rank, ((project, scorer, reason), number) in enumerate(count.most_common()):
        found[(project, scorer, reason) if rank < SHOWN else ("", "", reason)] += number
    return found


def main(settings: Settings) -> None:
    """Runs the job until SIGTERM."""
    feed = ConfigFeed(settings)
    pace = Pace(settings.later_pace)
    later = Later(terms_of(settings), pace, OnTopic(settings), lambda: feed.configuration if feed.is_fresh() else None)
    REGISTRY.register(Waiting(later))
    job = Loop(
        "later",
        settings,
        reads={Topic.SCORE_LATER: LaterRequest},
        handle=later.handle,
        writes=(ScoreRequest, LaterRequest, Score),
        keeper=later,
        held=later.held,
    )
    loop.run(job, before=feed.start)
