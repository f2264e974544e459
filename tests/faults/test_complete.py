"""`complete` and the matcher, two of each, killed over and over under load: every trace is judged and matches once, alike each time.

A record may be written twice when a worker dies between Kafka's ack and its commit; ids and contents are the same then.
"""

import random
import time
from collections import defaultdict

import pytest

from schemas.ids import record_key
from schemas.request import ScoreRequest
from schemas.rule import RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from tests.support.jobs import Installation

pytestmark = [pytest.mark.faults, pytest.mark.integration]

TRACES, ROUNDS = 1_200, 12
FAILS = {"scorer": "s", "is": "fails"}
SLOW = {"metric": "duration_ms", "op": ">", "value": 100}

Sent = tuple[Topic, TraceChunk | Score]


def trace_id(number: int) -> str:
    return f"{number + 1:032x}"


def records(number: int, now: int) -> list[Sent]:
    """Two spans and the root, each in an export of its own, and a score of the first; only the root has the session."""
    trace = trace_id(number)

    def chunk(own: int, parent: str, **further: object) -> TraceChunk:
        span = Span.model_validate({"span_id": f"{own:016x}", "parent_span_id": parent, **further})
        return TraceChunk(
            project="default", trace_id=trace, ingested_at=now + own, resources=({"s": "x"},), spans=(span,)
        )

    root, first = f"{1:016x}", f"{2:016x}"
    score = Score(
        project="default", score_id=trace, scorer="s", scorer_version="v", subject_kind="span", subject_id=f"{trace}:{first}",
        trace_id=trace, span_id=first, outcome="fail", ingested_at=now + 2, reason=f"bad {number}",
    )  # fmt: skip
    return [
        (Topic.SPANS, chunk(2, root)),
        (Topic.SPANS, chunk(3, first, duration_us=200_000 if number % 2 else 1)),
        (Topic.SPANS, chunk(1, "", session_id=f"s{number % 7}")),
        (Topic.SCORES, score),
    ]


def expected_events() -> set[tuple[str, tuple[str, ...], str]]:
    found = set()
    for number in range(TRACES):
        trace, session = trace_id(number), (f"s{number % 7}",)
        found.add(("fails", session, f"{trace}:{2:016x}"))
        found.add(("a trace", (), trace))
        if number % 2:
            found.add(("slow", session, f"{trace}:{3:016x}"))
            found.add(("both", session, trace))
    return found


def test_workers_that_are_killed_over_and_over_tell_every_trace_once(installation: Installation) -> None:
    for name, spec in {
        "fails": {"when": {"all": [FAILS]}, "group_by": ["session"]},
        "slow": {"when": {"all": [SLOW]}, "group_by": ["session"]},
        "both": {"when": {"all": [FAILS, SLOW]}, "group_by": ["session"]},
        "a trace": {"when": {"any": [FAILS, SLOW]}, "per": "trace"},
    }.items():
        installation.configure("Rule", name, spec)
    installation.configure("Scorer", "whole", {"type": "not-empty", "online": [{"target": "trace"}]})
    installation.in_effect()
    installation.start("sample")
    workers = installation.start("match", "match", "complete", "complete")
    order, now = random.Random(7), time.time_ns() // 1_000_000
    sent = [one for number in range(TRACES) for one in records(number, now)]
    order.shuffle(sent)
    for round_ in range(ROUNDS):
        for topic, record in sent[round_::ROUNDS]:
            installation.put(topic, record_key("default", record.trace_id), record)
        installation.flush()
        time.sleep(order.uniform(0.2, 2))
        killed = workers.pop(order.randrange(4))
        killed.kill()
        workers += installation.start(killed.module, ready=False)

    events: dict[tuple[str, tuple[str, ...], str], set[str]] = {}

    def told() -> bool:
        events.clear()
        for event in installation.records(Topic.RULE_EVENTS, RuleEvent):
            for one in event.evaluated:
                place = (event.rule, event.group, one.subject_id)
                of_trace = event.rule == "a trace"  # told by each of its subjects, and counted once by its id
                events.setdefault(place, set()).add("" if of_trace else one.model_dump_json())
        return set(events) >= expected_events()

    installation.until(told, patience_s=180, every_s=2)
    requests: dict[str, set[tuple[int, int, str]]] = defaultdict(set)

    def judged() -> bool:
        for request in installation.records(Topic.REQUESTS_CODE, ScoreRequest):
            (subject,) = request.subjects
            requests[request.trace_id].add((request.attempt, request.ingested_at, subject.model_dump_json()))
        return len(requests) == TRACES

    installation.until(judged, patience_s=180, every_s=2)
    assert set(events) == expected_events()
    assert [place for place, tellings in events.items() if len(tellings) > 1] == []
    for trace, told_of in requests.items():
        attempts = [attempt for attempt, *_ in sorted(told_of)]
        assert attempts == list(range(len(attempts))), f"{trace}: attempts {attempts}"
    more = sum(len(told_of) > 1 for told_of in requests.values())
    print(f"{len(events)} matches of {TRACES} traces; {more} judged again, for a span that came late")
