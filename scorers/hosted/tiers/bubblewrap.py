"""Namespaces by bubblewrap, a uid of its own, refused system calls, limits, and a control group where there is one."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from scorers.hosted import places, start
from scorers.hosted.places import Places
from scorers.hosted.sandbox import WORKER, Cell, Limits, Probe, Program, Room
from scorers.hosted.seccomp import Allowed
from scorers.hosted.start import Given, Plan

INSTALL = "install bubblewrap and util-linux: apt-get, dnf or apk"
AT_THE_GATE = ("/bin/sh", "-c", 'read -r _ && exec "$@"', "sandbox")
"""Waits until the host has counted and limited it; nothing of the bundle runs before."""
NOBODY = "65534"
TO_READ = "--ro-bind"


@dataclass(frozen=True)
class Bubblewrap:
    """Nothing of the host but its programs and libraries is there; what is there cannot be written."""

    cgroup: bool = True
    name: str = "bubblewrap"

    def probe(self) -> Probe:
        """Returns whether bubblewrap is installed and may make namespaces here."""
        if not shutil.which("bwrap") or not shutil.which("prlimit"):
            return Probe(holds=False, why=INSTALL)
        return start.probed(self.plan, "bwrap cannot make namespaces here", counted=self.cgroup)

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
            limits = (f"--{name}={value}" for name, value in given.rlimits.items())
            built = (*_walls(room.limits, counted=group is not None), *_given(host, there), *_variables(room))
            passing = ("--seccomp", str(given.seccomp), "--info-fd", str(given.info))
            return (*AT_THE_GATE, "prlimit", *limits, "--", "bwrap", *built, *SEALED, *passing, "--", *given.argv)

        allowed = Allowed(network=room.door is not None, fork=room.limits.fork, memory_files=group is not None)
        return Plan(command, there, allowed, group)


def _walls(limits: Limits, *, counted: bool) -> tuple[str, ...]:
    """Namespaces, an empty root, the system's programs. Without a control group nothing counts files: then /tmp is not writable."""
    shared = "1048576" if counted else "4096"
    tmp = ("--size", str(limits.tmp_mib << 20), "--tmpfs", "/tmp") if counted else ("--dir", "/tmp")  # noqa: S108
    return (
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(("--disable-userns",) if _knows("--disable-userns") else ()),
        *("--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--clearenv"),
        *(part for target, path in places.links() for part in ("--symlink", target, path)),
        *(part for folder in places.system_folders() for part in (TO_READ, folder, folder)),
        *("--proc", "/proc", "--dev", "/dev", "--size", shared, "--tmpfs", "/dev/shm", *tmp),  # noqa: S108
    )


SEALED = ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/")
"""bubblewrap's own root and /dev are memory without a limit, writable until now."""


def _given(host: Places, there: Places) -> tuple[str, ...]:
    argv: tuple[str, ...] = ()
    for source, target, writable in places.binds(host, there):
        argv += ("--bind" if writable else TO_READ, source, target)
    return argv


def _variables(room: Room) -> tuple[str, ...]:
    argv: tuple[str, ...] = ()
    for name, value in {**start.ENVIRONMENT, **room.env}.items():
        argv += ("--setenv", name, value)
    return argv


@cache
def _knows(option: str) -> bool:
    told = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)  # noqa: S607
    return option in told.stdout
