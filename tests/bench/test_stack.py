"""The highest rate of 1 kB spans that the whole stack sustains for a minute, with a code scorer on each and 20 rules."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import cpu_seconds, rss_bytes
from tests.bench.test_idle import family, processes
from tests.support.system import System, running, until

pytestmark = pytest.mark.bench

FIRST, STEP = 2000, 500
SECONDS = 60
DRAINED_WITHIN_S = 5
"""After the load: what was behind by more was not sustained."""
SCORER = """
apiVersion: vedette/v1
kind: Scorer
metadata: {name: says something}
spec: {type: contains, with: {field: output, any: [a]}, threshold: 0.5, online: [{target: span}]}
"""
RULE = """
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: "rule {number}"}}
spec: {{when: {{all: [{{scorer: says something, is: {verdict}}}]}}, filter: {{agent: Agent{agent}}}, group_by: [agent], times: 500, within: 10m}}
"""
RULES = 20


def documents() -> str:
    """Ten rules that no span matches, ten that each tenth of the spans matches."""
    told = [(number, "fails" if number % 2 else "succeeds", number // 2) for number in range(RULES)]
    return SCORER + "".join(RULE.format(number=number, verdict=verdict, agent=agent) for number, verdict, agent in told)


def _load(system: System, rate: int, members: dict[str, list[int]]) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "tests.bench.load",
        system.bridge,
        system.key(),
        "default",
        str(rate),
        str(SECONDS),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdin is not None
        assert load.stdout is not None
        assert load.stdout.readline() == "ready\n"
        before = {name: sum(map(cpu_seconds, pids)) for name, pids in members.items()}
        load.stdin.write("\n")
        load.stdin.flush()
        told: dict[str, Any] = json.loads(load.stdout.readline())
        cpu = {name: sum(map(cpu_seconds, pids)) - before[name] for name, pids in members.items()}
    began = time.monotonic()
    until(system.is_drained, patience_s=300)
    told["drained_s"] = round(time.monotonic() - began, 1)
    told["cpu_percent"] = {name: round(100 * value / told["seconds"], 1) for name, value in cpu.items()}
    return told


def _sustained(told: dict[str, Any]) -> bool:
    sent_in_time = told["seconds"] <= SECONDS * 1.02
    return sent_in_time and set(told["answers"]) == {"200"} and told["drained_s"] <= DRAINED_WITHIN_S


def test_the_highest_rate_that_the_stack_sustains(tmp_path: Path) -> None:
    with running(tmp_path / "data") as system:
        system.apply(documents())
        members = {name: family(pid) for name, pid in processes(system).items()}
        best: dict[str, Any] = {}
        rate, sent = FIRST, 0
        while True:
            told = _load(system, rate, members)
            sent += told["spans"]
            print(f"\n{rate}/s: {told}", flush=True)
            if not _sustained(told):
                break
            best, rate = told | {"rate": rate}, rate + STEP
        (counted,) = system.select("SELECT toUInt32(count()) AS spans FROM spans FINAL")
        (scored,) = system.select("SELECT toUInt32(count()) AS scores FROM scores FINAL")
        memory = {name: round(sum(map(rss_bytes, pids)) / 1024 / 1024) for name, pids in members.items()}
    line = {
        "bench": "stack",
        "goal": ">= 3000 spans/s for a minute",
        "spans_per_s": best.get("rate", 0),
        **{name: best.get(name) for name in ("p50_s", "p99_s", "drained_s", "cpu_percent")},
        "rss_mib": memory,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }
    print("\n" + json.dumps(line), flush=True)
    assert counted["spans"] == scored["scores"] == sent
