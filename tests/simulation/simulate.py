"""One simulated installation from its first span until everything is drained.

    python -m tests.simulation.simulate SEEDS [FIRST]

prints what happened in so many worlds, and every violation with its seed.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from unittest.mock import patch

from structlog.testing import capture_logs

from schemas.topics import Topic
from streams import deliver
from tests.simulation import checks, jobs
from tests.simulation.mutants import taken_out
from tests.simulation.world import MEMBERS, PARTITIONS, World, run

SPANS = 150
STEPS = 60_000


def simulated(
    seed: int, mutants: Iterable[str] = (), spans: int = SPANS, kill_share: float = 0.004
) -> tuple[World, list[str]]:
    """Runs a world and returns it with what does not hold there."""
    world = World(seed, frozenset(mutants), kill_share=kill_share)
    for job in (*jobs.READS, "send"):
        for partition in range(PARTITIONS):
            world.owners[job, partition] = partition % MEMBERS
    known = jobs.configuration()
    make = jobs.processes(world, spans, known)
    make_client = {"client": partial(jobs.client, world, spans)}
    with taken_out(world), patch.object(deliver, "now_ms", lambda: world.now), capture_logs():  # every fault is told
        run(world, {**make, **make_client}, lambda: world.finished and _is_quiet(world), STEPS // 2)
        world.faults = False
        run(world, make, lambda: _is_quiet(world), STEPS)
    return world, checks.violations(world)


def _is_quiet(world: World) -> bool:
    return world.lag(jobs.READS) == 0 and not _pending(world)


def _pending(world: World) -> bool:
    for entries in world.log[Topic.DELIVERIES]:
        told = jobs.Told()
        for entry in entries:
            told.ledger.apply(entry.key or b"", entry.value)  # type: ignore[arg-type]
        if any(told.ledger.places()):
            return True
    return False


def main(seeds: int, first: int = 0) -> int:
    """Simulates seeds and prints a line of JSON; returns how many worlds had violations."""
    began, total, bad = time.monotonic(), Counter[str](), {}
    for seed in range(first, first + seeds):
        world, found = simulated(seed)
        total.update(checks.counts(world))
        if found:
            bad[seed] = found
    print(
        json.dumps({"seeds": seeds, "seconds": round(time.monotonic() - began), **total, "violations": bad}), flush=True
    )
    return len(bad)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
