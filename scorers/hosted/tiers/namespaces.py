"""Namespaces made by the sandbox's own first process, where bubblewrap is not installed."""

import json
from dataclasses import dataclass, replace

from scorers.hosted import places, start
from scorers.hosted.sandbox import WORKER, Cell, Probe, Program, Room
from scorers.hosted.seccomp import Allowed
from scorers.hosted.start import Given, Plan
from scorers.hosted.tiers.bubblewrap import INSTALL

TMP_FILES = 4096


@dataclass(frozen=True)
class Namespaces:
    """As bubblewrap, by unshare(2)."""

    cgroup: bool = True
    name: str = "namespaces"

    def probe(self) -> Probe:
        """Returns whether namespaces may be made here."""
        probe = start.probed(self.plan, "namespaces are refused here", counted=self.cgroup)
        return replace(probe, why="; ".join(filter(None, (probe.why, f"for the best tier {INSTALL}"))))

    async def start(self, room: Room, program: Program = WORKER) -> Cell:
        """Starts a program in a room.

        Raises:
            NoRoom: the room cannot be built.

        """
        return await start.start(self.plan(room, program), room, program)

    def plan(self, room: Room, program: Program = WORKER) -> Plan:
        """Returns how it is started.

        Raises:
            NoRoom: the room cannot be built.

        """
        host = places.on_host(room, program)
        there = places.inside(host)
        group = start.group_for(room.limits, wanted=self.cgroup)

        def command(given: Given) -> tuple[str, ...]:
            spec = {
                **start.confinement(given, room),
                "namespaces": True,
                "loopback": room.door is not None,
                "links": places.links(),
                "binds": [*((path, path, False) for path in places.system_folders()), *places.binds(host, there)],
                "tmp": f"size={room.limits.tmp_mib}m,nr_inodes={TMP_FILES}",
            }
            return (*start.confine(host), json.dumps(spec))

        allowed = Allowed(network=room.door is not None, fork=room.limits.fork, memory_files=group is not None)
        return Plan(command, there, allowed, group)
