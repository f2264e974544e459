"""Landlock, where namespaces are refused: no network, nothing to write, a uid of its own."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from scorers.hosted import places, start
from scorers.hosted.places import Places
from scorers.hosted.sandbox import WORKER, Cell, NoRoom, Probe, Program, Room
from scorers.hosted.seccomp import Allowed
from scorers.hosted.start import Given, Plan

DEVICES = (("/dev/null", True), ("/dev/zero", False), ("/dev/urandom", False))


@dataclass(frozen=True)
class Landlock:
    """The kernel refuses every path but a few; no socket can be made, so there is no door."""

    cgroup: bool = True
    name: str = "landlock"

    def probe(self) -> Probe:
        """Returns whether the kernel has Landlock and lets it be used."""
        probe = start.probed(
            self.plan, "Landlock is absent or refused here (Linux 5.13)", counted=self.cgroup, door=False
        )
        better = "it has no network, so no gateway; the better tiers need namespaces (docs/hosted-threats.md)"
        return replace(probe, why="; ".join(filter(None, (probe.why, better))))

    async def start(self, room: Room, program: Program = WORKER) -> Cell:
        """Starts a program in a room.

        Raises:
            NoRoom: the room cannot be built; one with a door never can.

        """
        return await start.start(self.plan(room, program), room, program)

    def plan(self, room: Room, program: Program = WORKER) -> Plan:
        """Returns how it is started.

        Raises:
            NoRoom: the room cannot be built.

        """
        if room.door:
            raise NoRoom("needs a sandbox tier with a gateway: landlock has no network whatever; install bubblewrap")
        host = places.on_host(room, program)
        group = start.group_for(room.limits, wanted=self.cgroup)

        def command(given: Given) -> tuple[str, ...]:
            spec = {**start.confinement(given, room), "namespaces": False, "paths": _paths(host)}
            return (*start.confine(host), json.dumps(spec))

        allowed = Allowed(fork=room.limits.fork, sessions=False, signals=False, memory_files=group is not None)
        return Plan(command, host, allowed, group)


def _paths(host: Places) -> list[tuple[str, bool]]:
    given = [(source, writable) for source, _, writable in places.binds(host, host)]
    return [*((path, False) for path in places.system_folders()), *(d for d in DEVICES if Path(d[0]).exists()), *given]
