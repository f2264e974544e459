"""Two workers of a job beside one: how much sooner they are through with the same backlog, and at what cost of CPU.

Broker, ClickHouse and both workers share the machine's cores: `by_cpu` tells what two workers do when each has a core of its own.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import pytest

from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.record import Record
from schemas.rule import Evaluated, RuleEvent
from schemas.span import TraceChunk
from schemas.topics import Topic
from sinks.clickhouse import client, migrate
from streams import kafka
from streams.normalise import chunks
from streams.sample import requests
from tests.bench.backlog import Group, StandingStill, put_scores, rules
from tests.bench.figures import cpu_seconds
from tests.support.jobs import Installation, Job
from tests.support.records import chunk_received, configured
from tests.support.traffic import Traffic

ROUNDS = 3
SCORER = {"type": "contains", "with": {"field": "output", "any": ["refund"]}, "threshold": 0.5, "online": [{}]}
RULE = {"when": {"all": [{"scorer": "S", "is": "fails"}]}, "group_by": ["agent"], "times": 3, "within": "5m"}
GROUPS = 40
"""So few that their states are as large as they get after the first round."""

pytestmark = pytest.mark.bench

Backlog = Callable[[Installation], int]
"""Puts records for a job and returns how many."""


def bodies(installation: Installation) -> int:
    traffic, now = Traffic(), time.time_ns()
    for number in range(500):
        headers = {"vedette-project": b"default"}
        installation.put(Topic.OTLP_SPANS, None, traffic.body(20, now), headers, number % 2)
    installation.flush()
    return 500


def _chunks(count: int) -> Iterator[TraceChunk]:
    traffic, now = Traffic(), time.time_ns()
    for _ in range(count // 100):
        yield from chunks(traffic.body(100, now), "default", now // 1_000_000)


def _put(installation: Installation, topic: Topic, found: Sequence[tuple[bytes, Record]]) -> int:
    for key, record in found:
        installation.put(topic, key, record)
    installation.flush()
    return len(found)


def traces(installation: Installation) -> int:
    return _put(installation, Topic.SPANS, [(record_key(c.project, c.trace_id), c) for c in _chunks(10_000)])


def asked(installation: Installation) -> int:
    known = configured(("Scorer", "S", ScorerSpec.model_validate(SCORER)))
    outs = [out for chunk in _chunks(10_000) for out in requests(chunk_received(chunk), known)]
    return _put(installation, Topic.REQUESTS_CODE, [(out.key or b"", out.value) for out in outs])  # type: ignore[misc]


def scores(installation: Installation) -> int:
    put_scores(installation, 80_000, time.time_ns() // 1_000_000, seed=time.time_ns())
    return 80_000


def events(installation: Installation) -> int:
    now = time.time_ns() // 1_000_000
    version = installation.configure("Rule", "R", RULE)
    made = []
    for number in range(25_000):
        group = (f"agent-{number % GROUPS}",)
        subject = Evaluated(subject_kind="example", subject_id=f"{now}-{number}", ingested_at=now, reason="no parcel")
        event = RuleEvent(project="default", rule="R", rule_version=version, group=group, evaluated=(subject,))
        made.append((record_key("default", "R", group), event))
    return _put(installation, Topic.RULE_EVENTS, made)


JOBS: dict[str, tuple[Topic, Backlog]] = {
    "normalise": (Topic.OTLP_SPANS, bodies),
    "sample": (Topic.SPANS, traces),
    "score": (Topic.REQUESTS_CODE, asked),
    "match": (Topic.SCORES, scores),
    "count": (Topic.RULE_EVENTS, events),
    "store": (Topic.SPANS, traces),
}


def _through(installation: Installation, workers: Sequence[Job], group: Group, backlog: Backlog) -> tuple[float, float]:
    """Returns records per second, and per CPU-second of the workers."""
    pids = [job.process.pid for job in workers]
    with StandingStill(*pids):
        count = backlog(installation)
    began, used = time.perf_counter(), sum(map(cpu_seconds, pids))
    installation.until(group.is_drained, patience_s=180, every_s=0.05)
    return count / (time.perf_counter() - began), count / (sum(map(cpu_seconds, pids)) - used)


@pytest.mark.parametrize("job", JOBS)
def test_two_workers_beside_one(job: str, installation: Installation, clickhouse: str, database: str) -> None:
    topic, backlog = JOBS[job]
    installation.configure("Scorer", "S", SCORER)
    installation.configure("Rule", "R", RULE)
    for name, spec in rules():
        installation.configure("Rule", name, spec)
    installation.in_effect()
    migrate.migrate(client.connect(clickhouse, database))
    where = {"clickhouse_url": clickhouse, "clickhouse_database": database} if job == "store" else {}
    name = "score-code" if job == "score" else job
    group = Group(installation.settings, kafka.group_name(installation.settings, name), (topic,))
    workers = installation.start(job, **where)
    _through(installation, workers, group, backlog)
    one = [_through(installation, workers, group, backlog) for _ in range(ROUNDS)]
    workers += installation.start(job, **where)
    time.sleep(5)  # until each has its partition
    _through(installation, workers, group, backlog)
    two = [_through(installation, workers, group, backlog) for _ in range(ROUNDS)]
    (rate_one, cpu_one), (rate_two, cpu_two) = (map(median, zip(*found, strict=True)) for found in (one, two))
    line = {
        "bench": f"two workers of {job}",
        "goal": ">= 1.8 of one, records per second",
        "ratio": round(rate_two / rate_one, 2),
        "by_cpu": round(2 * cpu_two / cpu_one, 2),
        "one": round(rate_one),
        "two": round(rate_two),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }
    print("\n" + json.dumps(line), flush=True)
    assert rate_two > 0
