"""The processes of the simulated installation. Each is wiring, as in the jobs; what decides is imported from them."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from schemas.alert import AlertChange
from schemas.codec import Schemas, encode
from schemas.delivery import Delivery
from schemas.documents.destination import EmailSpec, SlackSpec
from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.record import Record
from schemas.request import ScoreRequest
from schemas.rule import Tick
from schemas.rule_state import RuleState
from schemas.score import Score
from schemas.topics import Topic
from streams.bench import Bench
from streams.count import Count, newest
from streams.deliver import Planner
from streams.logic import delivery as deliveries
from streams.logic.configuration import Configuration
from streams.logic.ledger import Ledger
from streams.logic.offsets import InFlight, OffsetTracker
from streams.match import matches
from streams.normalise import normalised
from streams.records import Out, Received, dead_letter
from streams.sample import requests
from streams.score import scores
from streams.settings import Settings
from streams.states import States
from tests.simulation.world import MEMBERS, PARTITIONS, Crash, Process, World
from tests.support.records import configured

PROJECT, OTHER = "shop", "bank"
SECRET = "vd_0123456789ab_" + "s" * 43
RATE = 0.8
TIMES, WITHIN_MS, COOLDOWN_MS = 3, 300_000, 1_800_000
READS = {
    "normalise": (Topic.OTLP_SPANS,),
    "sample": (Topic.SPANS,),
    "score": (Topic.REQUESTS_CODE,),
    "match": (Topic.SCORES,),
    "count": (Topic.RULE_EVENTS,),
    "plan": (Topic.ALERTS,),
    "store": (Topic.SPANS, Topic.SCORES, Topic.RULE_EVENTS, Topic.ALERTS, Topic.DELIVERIES),
}
SCORER = {
    "type": "contains",
    "with": {"field": "output", "any": ["parcel"]},
    "threshold": 0.5,
    "online": [{"target": "span", "sampling_rate": RATE}],
}
RULE = {
    "when": {"all": [{"scorer": "parcel", "is": "fails"}]},
    "group_by": ["agent"],
    "times": TIMES,
    "within": "5m",
    "cooldown": "30m",
    "actions": [{"notify": "slack"}, {"notify": "mail"}],
}
SLACK = {"type": "slack", "token": {"env": "T"}, "channel": "#agents"}
MAIL = {"type": "email", "to": ["oncall@example.com"], "smtp": {"host": "mail"}}


def configuration() -> Configuration:
    """One scorer, one rule and two destinations, for both projects."""
    documents = (
        ("Scorer", "parcel", ScorerSpec.model_validate(SCORER)),
        ("Rule", "evasive", RuleSpec.model_validate(RULE)),
        ("Destination", "slack", SlackSpec.model_validate(SLACK)),
        ("Destination", "mail", EmailSpec.model_validate(MAIL)),
    )
    found = configured(*documents, project=PROJECT)
    for version in configured(*documents, project=OTHER)._history.items():
        found._history[version[0]].update(version[1])
    return found


# --- clients and the bridge ---------------------------------------------------------------------------------------


def client(world: World, spans: int) -> Process:
    """Sends spans one by one, and again until it has a 2xx; the bridge answers after the ack."""
    while (number := len(world.sent)) < spans:
        project, agent = world.random.choice((PROJECT, PROJECT, OTHER)), world.random.choice("ab")
        trace, poison = f"{world.random.getrandbits(127):032x}", world.random.random() < 0.02
        text = f"{number} parcel" if world.random.random() < 0.5 else f"{number} something"
        skew = world.random.choice((0, 0, 0, -4_000_000, 90_000_000))
        world.sent[trace] = {"project": project, "agent": agent, "text": text, "poison": poison}
        body = b"\xff not an export" if poison else _body(trace, agent, text, world.now + skew)
        raw = Out(Topic.OTLP_SPANS, trace.encode(), body, (("vedette-project", project.encode()),))
        while True:
            yield
            if world.chance(0.05):
                continue  # the request was lost on its way
            if world.has("ack_before_produce") and world.chance(0.05):
                world.accepted.add(trace)  # and the bridge is killed
                break
            world.produce(raw)
            if not world.chance(0.05):  # else the answer is lost
                world.accepted.add(trace)
                break
        world.now += int(world.random.expovariate(1 / 25_000))
    world.finished = True


def _body(trace: str, agent: str, text: str, at_ms: int) -> bytes:
    attributes = {
        "gen_ai.agent.name": agent,
        "gen_ai.operation.name": "chat",
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}]),
        "authorization": f"Bearer {SECRET}",
    }
    span = {
        "traceId": trace,
        "spanId": trace[:16] if int(trace[:16], 16) else "1" * 16,
        "name": "chat",
        "startTimeUnixNano": str(at_ms * 1_000_000),
        "endTimeUnixNano": str(at_ms * 1_000_000 + 1),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


# --- the plain loops ----------------------------------------------------------------------------------------------


@dataclass
class Loop:
    """A batch loop as `streams/loop.py` runs one: handle, produce, keep the state, commit."""

    job: str
    handle: Callable[[Sequence[Received]], Any]
    keeper: Any = None

    def outs(self, batch: Sequence[Received], world: World) -> list[Out]:
        """Halves a batch that fails until the guilty record stands alone."""
        try:
            return list(self.handle(batch))
        except Crash:
            raise
        except Exception as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                return self.outs(batch[:middle], world) + self.outs(batch[middle:], world)
            if world.has("poison_crashes_loop"):
                raise Crash from error
            return [] if world.has("poison_dropped_silently") else [dead_letter(self.job, batch[0], error)]


def loop(world: World, member: int, made: Callable[[], Loop]) -> Process:
    """A member of a loop job's group, from its start to its death."""
    job = made()
    positions: dict[tuple[Topic, int], int] = {}
    while True:
        _rebalanced(world, job, member, positions)
        waiting = [(t, p) for (t, p), at in positions.items() if at < len(world.log[t][p])]
        if not waiting:
            yield
            continue
        topic, partition = world.random.choice(sorted(waiting))
        first = positions[topic, partition]
        end = min(first + world.random.choice((1, 2, 6)), len(world.log[topic][partition]))
        if world.has("commit_before_process"):
            world.commit(job.job, member, topic, partition, end)
            yield
        outs = job.outs([world.received(topic, partition, offset) for offset in range(first, end)], world)
        yield
        if world.has("offset_before_state") and job.keeper:
            world.commit(job.job, member, topic, partition, end)
            yield
        for out in [*outs, *(job.keeper.changed() if job.keeper else ())]:
            world.produce(out)
            yield
        positions[topic, partition] = end
        world.commit(job.job, member, topic, partition, end)
        yield


def _rebalanced(world: World, job: Loop, member: int, positions: dict[tuple[Topic, int], int]) -> None:
    owned = world.owned(job.job, member)
    for topic, partition in list(positions):
        if partition not in owned:
            del positions[topic, partition]
            if job.keeper:
                job.keeper.release(partition)
    for topic in READS[job.job]:
        for partition in owned:
            if (topic, partition) not in positions:
                positions[topic, partition] = world.committed[job.job, topic, partition]
                if job.keeper:
                    job.keeper.restore(partition)


class Counter(Count):
    """The counter, with a changelog in this world."""

    world: World

    def restore(self, partition: int) -> None:
        changelog = ((e.key or b"", _bytes(e.value)) for e in self.world.log[Topic.RULE_STATE][partition])
        self.states[partition] = States(partial(Schemas().decode, RuleState))
        self.states[partition].restore(newest(changelog).items())


def _bytes(value: Record | bytes | None) -> bytes | None:
    return encode(value) if isinstance(value, Record) else value


def counter(world: World, known: Configuration) -> Loop:
    """The counter's loop."""
    job = Counter(Settings(partitions=PARTITIONS), SimpleNamespace(confirmed=lambda: known))  # type: ignore[arg-type]
    job.world = world
    return Loop("count", job.handle, job)


def clock(world: World) -> Process:
    """The ticks of the counter."""
    told = world.now
    while True:
        if world.now - told >= 5000:
            told = world.now
            for partition in range(PARTITIONS):
                world.produce(Out(Topic.RULE_EVENTS, None, Tick(job="count"), partition=partition))
        yield


def store(world: World) -> Loop:
    """The store: an insert may be refused, and its answer may be lost."""

    def handle(batch: Sequence[Received]) -> list[Out]:
        if world.chance(0.05):
            raise Crash
        world.insert(batch)
        if world.chance(0.05):
            raise Crash
        return []

    return Loop("store", handle)


# --- the agents: several events in flight, acknowledged in order --------------------------------------------------


def agents(world: World, member: int, job: str, work: Callable[[Received], list[Out]]) -> Process:
    """A member of a Faust job's group: events finish in any order, offsets are acknowledged in theirs."""
    (topic,) = READS[job]
    positions: dict[int, int] = {}
    trackers: dict[int, OffsetTracker[int]] = {}
    flying: list[tuple[int, InFlight[int], list[Out]]] = []
    while True:
        owned = world.owned(job, member)
        for partition in list(positions):
            if partition not in owned:
                del positions[partition]
                flying = [one for one in flying if one[0] != partition]
        for partition in owned:
            if partition not in positions:
                positions[partition] = world.committed[job, topic, partition]
                trackers[partition] = OffsetTracker()
            if positions[partition] < len(world.log[topic][partition]) and len(flying) < 5:
                offset = positions[partition]
                flying.append(
                    (partition, trackers[partition].start(offset), work(world.received(topic, partition, offset)))
                )
                positions[partition] += 1
        yield
        if not flying:
            continue
        partition, entry, outs = flying.pop(world.random.randrange(len(flying)))
        for out in outs:
            world.produce(out)
            yield
        finished = trackers[partition].done(entry)
        if world.has("commit_past_in_flight"):
            finished = [entry.event]
        low = min((one.event for at, one, _ in flying if at == partition), default=None)
        if finished:
            if low is not None and low < finished[-1]:
                world.passed.append(f"{job} committed {finished[-1] + 1} while {low} was in flight")
            world.commit(job, member, topic, partition, finished[-1] + 1)
        yield


def judge(world: World, known: Configuration) -> Callable[[Received], list[Out]]:
    """The scoring worker's work. Some answers take too long: their verdict is an error."""
    bench = Bench()

    def work(received: Received) -> list[Out]:
        request = received.of(ScoreRequest)
        late = int(request.trace_id[:4], 16) % 20 == 0
        if late and world.has("timeout_unrecorded"):
            return []
        found = world_loop().run_until_complete(scores(request, bench, known, lambda: world.now))
        key = record_key(request.project, request.trace_id)
        own = [one for one in found if isinstance(one, Score)]
        made = [one.model_copy(update={"outcome": "error", "value": None, "reason": "too late"}) for one in own]
        return [Out(Topic.SCORES, key, one) for one in (made if late else own)]

    return work


_LOOP: list[asyncio.AbstractEventLoop] = []


def world_loop() -> asyncio.AbstractEventLoop:
    """One event loop for all simulated scorers."""
    if not _LOOP:
        _LOOP.append(asyncio.new_event_loop())
    return _LOOP[0]


# --- who tells people ---------------------------------------------------------------------------------------------


def planner(world: World, known: Configuration) -> Loop:
    """Stage 1 of deliver."""
    planned = Planner(lambda: known, PARTITIONS)
    return Loop("plan", lambda batch: list(planned.deliveries(batch)))


@dataclass
class Told:
    """A partition of the ledger and how far it was read."""

    ledger: Ledger = field(default_factory=Ledger)
    read_to: int = 0

    def read(self, world: World, partition: int) -> None:
        entries = world.log[Topic.DELIVERIES][partition]
        for entry in entries[self.read_to :]:
            self.ledger.apply(entry.key or b"", entry.value)  # type: ignore[arg-type]
        self.read_to = len(entries)


def sender(world: World, member: int) -> Process:
    """Stage 2 of deliver: what it knows is the fold of the ledger, what it decides is read back from there."""
    owned: dict[int, Told] = {}
    while True:
        mine = world.owned("send", member)
        owned = {partition: owned.get(partition, Told()) for partition in mine}
        for partition, told in owned.items():
            told.read(world, partition)
            for place in list(told.ledger.places()):
                entry = told.ledger.next(place)
                if entry is not None and deliveries.wait_s(entry, world.now) == 0:
                    yield from _tell(world, partition, entry)
                    told.read(world, partition)
        world.now += 200
        yield


def _tell(world: World, partition: int, entry: Delivery) -> Process:
    place = (entry.destination, entry.alert_id, entry.change)
    if world.has("mark_sent_before_send"):
        world.produce(_settled(deliveries.sent(entry, "x", world.now), partition))
        yield
    fate = world.random.random() if world.faults else 1.0
    yield
    if fate < 0.15:  # 429, a temporary refusal
        outcome = deliveries.retry(entry, "429", None, world.now)
        if world.has("drop_on_429"):
            outcome = deliveries.sent(entry, "dropped", world.now)
    elif fate < 0.17:
        outcome = deliveries.failed(entry, "no such channel", world.now)
    else:
        world.told.append(place)
        lost = 0.17 <= fate < 0.27  # it arrived, the answer did not
        outcome = (
            deliveries.retry(entry, "no answer", None, world.now) if lost else deliveries.sent(entry, "x", world.now)
        )
    yield
    if not world.has("mark_sent_before_send"):
        world.produce(_settled(outcome, partition))


def _settled(entry: Delivery, partition: int) -> Out:
    return Out(Topic.DELIVERIES, deliveries.key(entry), entry, partition=partition)


# --- everything together ------------------------------------------------------------------------------------------


def processes(world: World, spans: int, known: Configuration) -> dict[str, Callable[[], Process]]:
    """Every process of the installation, two members a job."""
    loops: dict[str, Callable[[], Loop]] = {
        "normalise": lambda: Loop("normalise", normalised),
        "match": lambda: Loop("match", lambda batch: matches(batch, known)),
        "count": lambda: counter(world, known),
        "plan": lambda: planner(world, known),
        "store": lambda: store(world),
    }
    made: dict[str, Callable[[], Process]] = {}
    for member in range(MEMBERS):
        for job, make in loops.items():
            made[f"{job}-{member}"] = partial(loop, world, member, make)
        made[f"sample-{member}"] = partial(agents, world, member, "sample", lambda received: requests(received, known))
        made[f"score-{member}"] = partial(agents, world, member, "score", judge(world, known))
        made[f"send-{member}"] = partial(sender, world, member)
    made["clock"] = partial(clock, world)
    return made


def changes(world: World) -> Iterator[AlertChange]:
    """Everything on `vedette.alerts`."""
    for entries in world.log[Topic.ALERTS]:
        for entry in entries:
            assert isinstance(entry.value, AlertChange)
            yield entry.value
