"""What must hold in a simulated world when all is drained: the ten invariants, each by a look at what outlived the processes.

What a rule should have told is computed here from its definition, over all matches in the order of the log, not by the fold.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from schemas.alert import AlertChange
from schemas.codec import encode
from schemas.record import Record
from schemas.rule import Evaluated, RuleEvent
from schemas.score import Score
from schemas.topics import Topic
from streams.logic.sampling import place
from tests.simulation.jobs import COOLDOWN_MS, RATE, READS, SECRET, TIMES, WITHIN_MS, changes
from tests.simulation.world import World

LATENESS_MS = 600_000
Place = tuple[str, str]
"""Project and agent."""


def violations(world: World) -> list[str]:
    """Returns the invariants that do not hold, each in a sentence."""
    return [
        *_drained(world),
        *_spans(world),
        *_scores(world),
        *_alerts(world),
        *_told(world),
        *_letters(world),
        *(f"9: {one}" for one in world.passed[:1]),
        *_secrets(world),
    ]


def _drained(world: World) -> Iterator[str]:
    if lag := world.lag(READS):
        yield f"7: {lag} records are never read"


def _spans(world: World) -> Iterator[str]:
    stored = [(row["trace_id"], row["project"], row["output"]) for row in world.table("spans")]
    honest = {trace for trace in world.accepted if not world.sent[trace]["poison"]}
    seen = defaultdict(int)
    for trace, project, output in stored:
        seen[trace] += 1
        if trace not in world.sent or world.sent[trace]["text"] not in output:
            yield "2: a span was invented or altered"
        elif world.sent[trace]["project"] != project:
            yield "2: a span is in another's project"
    if any(seen[trace] != 1 for trace in honest):
        yield "1: an accepted span is not stored exactly once"


def _scores(world: World) -> Iterator[str]:
    outcomes = defaultdict(list)
    for row in world.table("scores"):
        outcomes[row["trace_id"]].append(row["outcome"])
    for trace in world.accepted:
        sent = world.sent[trace]
        wanted = 0 if sent["poison"] else int(place(sent["project"], trace) < RATE)
        if len(outcomes[trace]) != wanted or not set(outcomes[trace]) <= {"pass", "fail", "error"}:
            yield "3: a sampled span has not exactly one verdict or error, or another has one"
            return


def _alerts(world: World) -> Iterator[str]:
    expected = {(where, at) for where, at, _ in _should_fire(world)}
    firings = [c for c in changes(world) if c.kind in ("fired", "renotified")]
    found = {((c.project, c.group[0]), c.changed_at) for c in firings}
    if expected != found:
        yield f"4: {len(found - expected)} firings too many, {len(expected - found)} missing"
    ids = defaultdict(set)
    for change in changes(world):
        ids[change.alert_id, change.change].add(encode(change))
    if any(len(bodies) > 1 for bodies in ids.values()):
        yield "4: an alert change stands there in two forms"
    if len({c.firing_id for c in firings}) != len(found):
        yield "4: one firing has two ids"
    by_place = defaultdict(set)
    for where, at in found:
        by_place[where].add(at)
    if any(later - earlier < COOLDOWN_MS for times in by_place.values() for earlier, later in pairwise(sorted(times))):
        yield "5: two firings lie within one cooldown"


def _should_fire(world: World) -> Iterator[tuple[Place, int, Evaluated]]:
    """Every firing by the definition: first copies of matches, in the order of the log; what memory is too short for is left out."""
    ingested = _ingest_times(world)
    for entries in world.log[Topic.RULE_EVENTS]:
        matched: dict[Place, dict[str, int]] = defaultdict(dict)
        fired: dict[Place, list[int]] = defaultdict(list)
        for event in (entry.value for entry in entries if isinstance(entry.value, RuleEvent)):
            where = event.project, event.group[0]
            for one in _in_order(event):
                at, known = ingested[one.trace_id], matched[where]
                newest = max(known.values(), default=0)
                if one.subject_id in known or at < newest - WITHIN_MS - LATENESS_MS:
                    continue
                known[one.subject_id] = at
                quiet = any(abs(at - firing) < COOLDOWN_MS for firing in fired[where])
                if not quiet and _enough(list(known.values()), at):
                    fired[where].append(at)
                    yield where, at, one


def _in_order(event: RuleEvent) -> list[Evaluated]:
    return sorted(event.evaluated, key=lambda one: (one.ingested_at, one.subject_id))


def _enough(times: list[int], at: int) -> bool:
    starts = [time for time in times if at - WITHIN_MS < time <= at]
    return any(sum(start <= time < start + WITHIN_MS for time in times) >= TIMES for start in starts)


def _ingest_times(world: World) -> dict[str, int]:
    """The ingest time of a trace that its rule events may carry: that of the copy which was judged."""
    appended = defaultdict(set)
    for entries in world.log[Topic.OTLP_SPANS]:
        for entry in entries:
            appended[(entry.key or b"").decode()].add(entry.at)
    carried = {}
    for entries in world.log[Topic.RULE_EVENTS]:
        for event in (entry.value for entry in entries if isinstance(entry.value, RuleEvent)):
            for one in _in_order(event):
                near = min((abs(at - one.ingested_at), at) for at in appended[one.trace_id])
                carried.setdefault(one.trace_id, near[1])
    return carried


def _told(world: World) -> Iterator[str]:
    known = {(change.alert_id, change.change) for change in changes(world)}
    told = {(destination, alert, number) for destination, alert, number in world.told}
    failed = {
        (row["destination"], row["alert_id"], row["change"])
        for row in world.table("deliveries")
        if row["state"] in ("failed", "suppressed")
    }
    for alert, number in known:
        if any((destination, alert, number) not in told | failed for destination in ("slack", "mail")):
            yield "6: an alert change neither reached a destination nor shows as failed or suppressed"
            break
    if any((alert, number) not in known for _, alert, number in told):
        yield "6: somebody was told of a change that never was"


def _letters(world: World) -> Iterator[str]:
    letters = {(entry.key or b"").decode() for entries in world.log[Topic.DLQ] for entry in entries}
    poison = {trace for trace in world.accepted if world.sent[trace]["poison"]}
    if not poison <= letters:
        yield "8: a record that cannot be read is in no dead letter"
    if any(not world.sent.get(trace, {"poison": False})["poison"] for trace in letters):
        yield "8: an honest record is a dead letter"


def _secrets(world: World) -> Iterator[str]:
    """Raw topics carry what clients send, so do dead letters of them."""
    for topic, partitions in world.log.items():
        if topic in (Topic.OTLP_SPANS, Topic.DLQ):
            continue
        for entry in (one for entries in partitions for one in entries):
            value = encode(entry.value) if isinstance(entry.value, Record) else entry.value or b""
            if SECRET.encode() in value:
                yield f"10: a secret stands on {topic}"
                return


def counts(world: World) -> dict[str, int]:
    """What happened, to see that something did."""
    every = list(changes(world))
    distinct: set[tuple[str, int]] = {(change.alert_id, change.change) for change in every}
    scored = sum(isinstance(e.value, Score) for entries in world.log[Topic.SCORES] for e in entries)
    return {
        "kills": world.kills,
        "moves": world.moves,
        "spans": len(world.accepted),
        "scores": scored,
        "firings": len({c.firing_id for c in every if isinstance(c, AlertChange) and c.kind != "resolved"}),
        "changes": len(distinct),
        "sent again": len(every) - len(distinct),
        "tellings": len(world.told),
    }
