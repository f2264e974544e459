"""The matcher with 100 rules, of one form and of every form, beside a loop that only reads and decodes the same scores: records per CPU-second."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.topics import Topic
from streams import kafka
from tests.bench.backlog import Group, StandingStill, put_scores, rules, rules_of_every_form
from tests.bench.figures import cpu_seconds, told
from tests.support.jobs import Installation

SCORES, ROUNDS = 60_000, 5

pytestmark = pytest.mark.bench


def _rate(pid: int, done: Callable[[], bool], installation: Installation) -> float:
    before = cpu_seconds(pid)
    installation.until(done, patience_s=300, every_s=0.2)
    return SCORES / (cpu_seconds(pid) - before)


@pytest.mark.parametrize("form", ["one", "every"])
def test_the_matcher_beside_a_bare_loop(installation: Installation, tmp_path: Path, form: str) -> None:
    for name, spec in rules() if form == "one" else rules_of_every_form():
        installation.configure("Rule", name, spec)
    installation.in_effect()
    settings, group = installation.settings, f"{installation.settings.topic_prefix}bare"
    (job,) = installation.start("match")
    script = str(Path(__file__).parent / "bare_loop.py")
    command = [sys.executable, script, settings.bootstrap_servers, installation.name(Topic.SCORES), group]
    with (tmp_path / "bare.log").open("wb") as log:
        bare = subprocess.Popen(command, stdout=log, stderr=log)
    done = Group(settings, kafka.group_name(settings, "match"), (Topic.SCORES,)).is_drained
    bare_done = Group(settings, group, (Topic.SCORES,)).is_drained
    put_scores(installation, 1000, time.time_ns() // 1_000_000, seed=-1)
    installation.until(lambda: done() and bare_done(), patience_s=60)
    ours, baseline = [], []
    for round_ in range(ROUNDS):
        with StandingStill(job.process.pid):
            with StandingStill(bare.pid):
                put_scores(installation, SCORES, time.time_ns() // 1_000_000, seed=round_)
            baseline.append(_rate(bare.pid, bare_done, installation))
        ours.append(_rate(job.process.pid, done, installation))
    bare.terminate()
    bare.wait(10)
    goal = ">= 0.35 of a bare confluent-kafka + fastavro loop, scores per CPU-second"
    assert told("matcher", goal, ours, baseline, rules=100, form=form, matched=f"{len(installation.messages(Topic.RULE_EVENTS))} rule events") > 0  # fmt: skip
