"""The counter against an empty Faust table agent on the same records: events per CPU-second."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewTopic

from schemas.ids import record_key
from schemas.rule import Evaluated, RuleEvent
from schemas.topics import Topic
from streams import kafka as clients
from streams.settings import Settings
from tests.bench.figures import cpu_seconds, told
from tests.support.jobs import Installation

EVENTS = 20_000
GROUPS = 500
ROUNDS = 3
FORMS = {
    "times": {"times": 3, "within": "5m"},
    "each": {"times": 1, "within": "1m", "cooldown": "1m"},
    "rate": {"rate": {"share": 0.2, "of": 30}, "within": "10m"},
    "sustained": {"times": 3, "within": "5m", "sustained": "10m"},
    "sustained rate": {"rate": {"share": 0.2, "of": 30}, "within": "10m", "sustained": "10m"},
    "no traffic": {"no_traffic": "15m"},
}
"""Each group is counted by a rule of one form."""

pytestmark = pytest.mark.bench


def _load(installation: Installation, versions: list[tuple[str, str]], round_: int) -> None:
    now = time.time_ns() // 1_000_000
    for number in range(EVENTS):
        group, (rule, version) = (f"agent-{number % GROUPS}",), versions[number % GROUPS % len(versions)]
        matched = "rate" not in rule or number % 3 == 0
        subject = Evaluated(
            subject_kind="example",
            subject_id=f"{round_}-{number}",
            ingested_at=now,
            reason="no parcel",
            matched=matched,
        )
        event = RuleEvent(project="default", rule=rule, rule_version=version, group=group, evaluated=(subject,))
        installation.put(Topic.RULE_EVENTS, record_key("default", rule, group), event)
    installation.flush()


def _drained(settings: Settings, group: str) -> Callable[[], bool]:
    name = clients.topic_name(settings, Topic.RULE_EVENTS)
    consumer = clients.consumer(settings, group)

    def done() -> bool:
        found = consumer.committed([TopicPartition(name, p) for p in range(settings.partitions)], timeout=10)
        return all(consumer.get_watermark_offsets(p, timeout=10)[1] - p.offset <= 2 for p in found)

    return done


def _rate(pid: int, put: Callable[[], None], done: Callable[[], bool], installation: Installation) -> float:
    before = cpu_seconds(pid)
    put()
    installation.until(done, patience_s=180, every_s=0.5)
    return EVENTS / (cpu_seconds(pid) - before)


def test_the_counter_does_at_least_what_an_empty_faust_table_does(installation: Installation, tmp_path: Path) -> None:
    common = {"when": {"all": [{"scorer": "S", "is": "fails"}]}, "group_by": ["agent"]}
    versions = [(name, installation.configure("Rule", name, {**common, **form})) for name, form in FORMS.items()]
    installation.in_effect()
    settings = installation.settings
    group = f"{settings.topic_prefix}faust-table"
    changelog = NewTopic(f"{group}-empty-changelog", settings.partitions, 1)
    admin = clients.admin(settings)
    for future in admin.create_topics([changelog]).values():
        future.result(30)
    ours, baseline = [], []
    for round_ in range(ROUNDS):
        (job,) = installation.start("count")
        done = _drained(settings, clients.group_name(settings, "count"))
        installation.until(done, patience_s=180, every_s=0.5)  # what the baseline's round left on the topic
        ours.append(_rate(job.process.pid, lambda r=round_: _load(installation, versions, r), done, installation))
        job.terminate()
        name = clients.topic_name(settings, Topic.RULE_EVENTS)
        command = [
            sys.executable,
            str(Path(__file__).parent / "faust_table.py"),
            settings.bootstrap_servers,
            name,
            group,
        ]
        with (tmp_path / "faust.log").open("ab") as log:
            faust = subprocess.Popen([*command, str(settings.partitions)], stdout=log, stderr=log)
        time.sleep(8)  # its start and first assignment; what the counter's round left is drained before it is measured
        done = _drained(settings, group)
        installation.until(done, patience_s=180, every_s=0.5)
        baseline.append(_rate(faust.pid, lambda r=round_: _load(installation, versions, -1 - r), done, installation))
        faust.terminate()
        faust.wait(30)
    assert (
        told(
            "counter",
            ">= 0.8 of an empty Faust table agent, events per CPU-second",
            ours,
            baseline,
            groups=GROUPS,
            forms=len(FORMS),
        )
        > 0
    )
