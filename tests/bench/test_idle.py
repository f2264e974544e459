"""What the whole stack takes when nobody uses it: memory and CPU of every process."""

import json
import os
import platform
import time
from pathlib import Path

import pytest

from tests.bench.figures import cpu_seconds, rss_bytes
from tests.support.system import System, running

pytestmark = pytest.mark.bench

SETTLED_S = 60
SECONDS = 60
MIB = 1024 * 1024


def processes(system: System) -> dict[str, int]:
    """The processes of the stack and the one that supervises them, by name; each has the children that it started."""
    supervisor = int((system.data_dir / "lock").read_text())
    return {"up": supervisor, **system.pids()}


def family(pid: int) -> list[int]:
    """A process and its descendants that are in its session: the supervised have sessions of their own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = [child for child in map(int, children) if os.getsid(child) == os.getsid(pid)]
    return [pid, *(further for child in own for further in family(child))]


def test_what_the_idle_stack_takes(tmp_path: Path) -> None:
    with running(tmp_path / "data") as system:
        time.sleep(SETTLED_S)
        members = {name: family(pid) for name, pid in processes(system).items()}
        before = {name: sum(map(cpu_seconds, pids)) for name, pids in members.items()}
        time.sleep(SECONDS)
        cpu = {name: 100 * (sum(map(cpu_seconds, pids)) - before[name]) / SECONDS for name, pids in members.items()}
        rss = {name: sum(map(rss_bytes, pids)) / MIB for name, pids in members.items()}
    line = {
        "bench": "idle",
        "goal": "RSS <= 2048 MiB, CPU <= 10 % of a core",
        "rss_mib": round(sum(rss.values())),
        "cpu_percent": round(sum(cpu.values()), 2),
        "rss_mib_by_process": {name: round(value) for name, value in rss.items()},
        "cpu_percent_by_process": {name: round(value, 2) for name, value in cpu.items()},
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    print("\n" + json.dumps(line), flush=True)
    assert min(rss.values()) > 0
