"""The job `complete`: all that has to come together by trace.

It joins spans with the content that log events tell, puts whole traces together for the scorers that judge them, finds the context that a
span has from its ancestors, and gathers the conditions of a rule that wants several.

Its state is what its two topics hold from the oldest record that may still matter: that is where a partition is read again after a
restart. What was handled before is folded again then, and written once (`Holder.held`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge

from schemas.codec import Undecodable
from schemas.contents import SpanContents
from schemas.ids import record_key
from schemas.request import ScoreRequest
from schemas.rule import RuleCondition, RuleEvent, Tick
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import loop
from streams.config_feed import ConfigFeed
from streams.logic.assembly import Assembly
from streams.logic.collect import Collect
from streams.logic.configuration import Configuration
from streams.logic.in_effect import rule_at, rule_of_event
from streams.logic.join import Join
from streams.logic.matching import Match
from streams.logic.rules import RuleVersion
from streams.loop import Loop
from streams.match import rule_events
from streams.parts import part_of, records_of
from streams.records import Out, Received
from streams.settings import Settings
from streams.ticks import Ticks

BECAME = Counter(
    "vedette_complete_total",
    "Spans, events, traces, scores and conditions that waited, by what became of them",
    ["why"],
)
REMEMBERED = Gauge(
    "vedette_complete_remembered", "Spans, traces and conditions of which something is kept", ["what", "partition"]
)

Latest = Callable[[], Configuration]
Told = tuple[RuleCondition, RuleVersion]
"""A condition and the rule version by which it was told."""


@dataclass
class Traces:
    """The spans and traces of the partitions of `vedette.span-contents` that this worker owns."""

    configuration: Latest
    wait_ms: int
    """So long a span waits for its content."""
    idle_ms: int
    """So long a trace waits for what is missing of it."""
    ticks: Ticks = field(default_factory=lambda: Ticks("complete", Topic.SPAN_CONTENTS))
    joins: defaultdict[int, Join] = field(init=False)
    assemblies: defaultdict[int, Assembly] = field(init=False)

    def __post_init__(self) -> None:
        self.joins = defaultdict(lambda: Join(self.wait_ms))
        self.assemblies = defaultdict(lambda: Assembly(self.idle_ms))

    def handle(self, batch: Sequence[Received]) -> list[Out]:
        """Returns what goes on after a batch.

        Raises:
            Undecodable: a record is not what it must be; nothing is folded then.

        """
        configuration, outs = self.configuration(), list[Out]()
        for received, contents in [(received, _contents(received)) for received in batch]:
            self.ticks.read(received.partition)
            outs += self._joined(received, contents)
            outs += self._assembled(received, contents, configuration)
        for partition in {received.partition for received in batch}:
            _tell("spans", partition, self.joins[partition])
            _tell("traces", partition, self.assemblies[partition])
        return outs

    def _joined(self, received: Received, contents: SpanContents | None) -> Iterator[Out]:
        join, now = self.joins[received.partition], received.timestamp_ms
        made = join.pass_time(now) if contents is None else join.take(contents, now, received.offset)
        for chunk in made:
            yield Out(Topic.SPANS, record_key(chunk.project, chunk.trace_id), chunk)

    def _assembled(self, received: Received, contents: SpanContents | None, known: Configuration) -> Iterator[Out]:
        assembly, now = self.assemblies[received.partition], received.timestamp_ms
        part = None if contents is None else part_of(contents, known)
        for made in assembly.pass_time(now) if part is None else assembly.take(part, now, received.offset):
            yield from records_of(made, known)

    def held(self, partition: int) -> int | None:
        """Returns the offset from which a partition has to be read to know again what is known now; None: nothing is."""
        since = (self.joins[partition].since, self.assemblies[partition].since)
        return min((offset for offset in since if offset is not None), default=None)

    def restore(self, partition: int) -> None:
        """Begins a partition that has come; reading it again brings back what was known."""
        self.release(partition)

    def release(self, partition: int) -> None:
        """Forgets a partition that has gone."""
        self.joins.pop(partition, None)
        self.assemblies.pop(partition, None)
        self.ticks.forget(partition)
        for what in ("spans", "traces"):
            REMEMBERED.labels(what, partition).set(0)

    def changed(self) -> tuple[Out, ...]:
        """Returns nothing: the input itself keeps the state."""
        return ()

    def due(self, partitions: Iterable[int]) -> list[Out]:
        """Returns the ticks that tell the time where nothing else does."""
        return self.ticks.due(partitions)


@dataclass
class Conditions:
    """The conditions of the partitions of `vedette.rule-conditions` that this worker owns, each kept for `kept_ms`."""

    configuration: Latest
    kept_ms: int
    ticks: Ticks = field(default_factory=lambda: Ticks("complete", Topic.RULE_CONDITIONS))
    gathered: defaultdict[int, Collect] = field(init=False)

    def __post_init__(self) -> None:
        self.gathered = defaultdict(lambda: Collect(self.kept_ms))

    def read(self, batch: Sequence[Received]) -> list[tuple[Received, Told | None]]:
        """Returns the conditions of a batch; None: a tick.

        Raises:
            Undecodable: a condition is of a rule version that never was.

        """
        configuration = self.configuration()
        return [(received, _condition(received, configuration)) for received in batch]

    def fold(self, batch: Sequence[tuple[Received, Told | None]]) -> list[Out]:
        """Returns the rule events of a batch."""
        configuration, found = self.configuration(), list[Match]()
        for received, told in batch:
            self.ticks.read(received.partition)
            collect, now = self.gathered[received.partition], received.timestamp_ms
            if told is None:
                collect.pass_time(now)
            elif match := collect.take(*told, _at_time(configuration, told[1]), now, received.offset):
                found.append(match)
        for partition in {received.partition for received, _ in batch}:
            _tell("conditions", partition, self.gathered[partition])
        return rule_events(found)

    def held(self, partition: int) -> int | None:
        """Returns the offset from which a partition has to be read to know again what is known now; None: nothing is."""
        return self.gathered[partition].since

    def restore(self, partition: int) -> None:
        """Begins a partition that has come; reading it again brings back what was known."""
        self.release(partition)

    def release(self, partition: int) -> None:
        """Forgets a partition that has gone."""
        self.gathered.pop(partition, None)
        self.ticks.forget(partition)
        REMEMBERED.labels("conditions", partition).set(0)

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


def _condition(received: Received, configuration: Configuration) -> Told | None:
    if received.is_tick:
        return None
    one = received.of(RuleCondition)
    if received.key != record_key(one.project, one.trace_id):
        raise Undecodable(f"the key of a rule's condition is [project, trace], not {received.key!r}")
    at = one.evaluated.ingested_at
    rule = rule_of_event(configuration, one.project, one.rule, one.rule_version, at)
    if rule is None or one.condition >= len(rule.spec.when.all):
        raise Undecodable(
            f"project {one.project!r} never had condition {one.condition} of rule {one.rule!r}, version {one.rule_version}"
        )
    return one, rule


def _at_time(configuration: Configuration, rule: RuleVersion) -> Callable[[int], RuleVersion | None]:
    return lambda at: rule_at(configuration, rule.project, rule.name, at)


def _tell(what: str, partition: int, fold: Join | Assembly | Collect) -> None:
    REMEMBERED.labels(what, partition).set(len(fold))
    for why, number in fold.counted.items():
        BECAME.labels(why).inc(number)
    fold.counted.clear()


def job(settings: Settings, configuration: Latest) -> Loop:
    """Returns the job, ready to run."""
    traces = Traces(configuration, round(settings.content_wait_s * 1000), round(settings.trace_idle_s * 1000))
    conditions = Conditions(configuration, round(settings.conditions_kept_s * 1000))

    def handle(batch: Sequence[Received]) -> list[Out]:
        of_rules = conditions.read([received for received in batch if received.topic is Topic.RULE_CONDITIONS])
        of_traces = traces.handle([received for received in batch if received.topic is Topic.SPAN_CONTENTS])
        return [*of_traces, *conditions.fold(of_rules)]

    return Loop(
        "complete",
        settings,
        reads={Topic.SPAN_CONTENTS: SpanContents, Topic.RULE_CONDITIONS: RuleCondition},
        handle=handle,
        writes=(TraceChunk, ScoreRequest, RuleCondition, RuleEvent, Tick),
        holders={Topic.SPAN_CONTENTS: traces, Topic.RULE_CONDITIONS: conditions},
    )


def main(settings: Settings) -> None:
    """Runs the job until SIGTERM."""
    feed = ConfigFeed(settings)
    loop.run(job(settings, feed.confirmed), before=feed.start)
