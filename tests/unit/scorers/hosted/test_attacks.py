"""The attacks bite, and the tiers stop them."""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scorers.hosted import places, start
from scorers.hosted.attacks import selftest as tests
from scorers.hosted.attacks.attack import ATTACKS
from scorers.hosted.attacks.attempt import Arena, Outcome
from scorers.hosted.attacks.selftest import Report, against, remembered, selftest
from scorers.hosted.attacks.victims import Victims
from scorers.hosted.sandbox import WORKER, Cell, Probe, Program, Room, Sandbox
from scorers.hosted.seccomp import Allowed
from scorers.hosted.start import Given, Plan
from scorers.hosted.tiers.bubblewrap import AT_THE_GATE, Bubblewrap
from scorers.hosted.tiers.landlock import Landlock
from tests.support.rooms import must_hold


@pytest.mark.parametrize("tier", [Bubblewrap(), Landlock(cgroup=False)], ids=lambda tier: tier.name)
async def test_every_attack_is_stopped(tier: Sandbox) -> None:
    must_hold(tier)
    report = await selftest(tier)
    assert report.holds, str(report)
    assert len(report.outcomes) >= len(against(tier, quick=False)) >= 62


@dataclass(frozen=True)
class NoWall:
    """A uid of its own and nothing else: what the attacks must get through."""

    name: str = "none"

    def probe(self) -> Probe:
        return Probe(holds=True, why="")

    async def start(self, room: Room, program: Program = WORKER) -> Cell:
        def command(given: Given) -> tuple[str, ...]:
            return (*AT_THE_GATE, *given.argv)

        return await start.start(Plan(command, places.on_host(room, program), Allowed(), None), room, program)


BITE = {
    "other_scorer", "neighbour", "host_folders", "environment", "processes", "loopback", "unix_socket", "abstract_socket", "routes",
    "socket_families", "signals", "kernel_calls", "privileges", "outlive", "daemon", "memory_files", "shared_memory", "limits_of_others",
}  # fmt: skip


async def test_without_a_wall_the_attacks_get_through() -> None:
    """Else a broken attack would count as stopped."""
    if os.geteuid() != 0:
        pytest.skip("without a uid of its own a sandbox without a wall could hit every process of this user")
    with Victims() as victims:
        arena = Arena(NoWall(), victims, 10.0)
        tried = [arena.attempt(attack) for attack in ATTACKS if attack.name in BITE]
        outcomes = await asyncio.gather(*tried)
    assert {outcome.attack for outcome in outcomes if not outcome.stopped} == BITE, [o for o in outcomes if o.stopped]


def test_a_tier_in_the_hosts_pid_namespace_is_spared_the_attack_on_every_process() -> None:
    names = {attack.name for attack in against(Landlock(), quick=False)}
    assert {attack.name for attack in ATTACKS} - names == {"kill_all"}


async def test_a_verdict_is_remembered_until_something_it_depends_on_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    async def counted(sandbox: Sandbox, **_: object) -> Report:
        runs.append(sandbox)
        return Report(sandbox.name, (Outcome("loop", stopped=len(runs) != 1, evidence="", seconds=1.0),))

    monkeypatch.setattr(tests, "selftest", counted)
    first, second, third = [await remembered(Landlock(), tmp_path) for _ in range(3)]
    assert (first.holds, second.holds, third) == (False, True, second), "a failure is never remembered"
    await remembered(replace(Landlock(), cgroup=False), tmp_path)
    assert len(runs) == 3


def test_a_report_names_what_got_through() -> None:
    report = Report(
        "landlock",
        (
            Outcome("loop", stopped=True, evidence="", seconds=1),
            Outcome("shadow", stopped=False, evidence="root:", seconds=1),
        ),
    )
    assert not report.holds
    assert str(report) == "landlock: 1 of 2 attacks stopped\n  shadow got through: root:"
