"""What the benchmarks share: CPU time of a process, medians of interleaved rounds, one JSON line a figure."""

import json
import os
import platform
from pathlib import Path
from statistics import median
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time, user and system, that a process and its threads have taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_bytes(pid: int) -> int:
    """Returns the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def told(bench: str, goal: str, ours: list[float], baseline: list[float], **further: Any) -> float:
    """Prints the figure as one JSON line and returns the median of the rounds' ratios."""
    ratios = [a / b for a, b in zip(ours, baseline, strict=True)]
    line = {
        "bench": bench,
        "ratio": round(median(ratios), 3),
        "goal": goal,
        "ours": round(median(ours), 1),
        "baseline": round(median(baseline), 1),
        "ratios": [round(ratio, 3) for ratio in ratios],
        **further,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }
    print("\n" + json.dumps(line), flush=True)
    return median(ratios)
