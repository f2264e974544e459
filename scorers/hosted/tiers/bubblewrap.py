"""Namespaces by bubblewrap, a uid of its own, refused system calls, limits, and a control group where there is one."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scorers.hosted import start
from scorers.hosted.cgroup import Groups
from scorers.hosted.python import INSIDE
from scorers.hosted.sandbox import WORKER, Cell, Limits, NoRoom, Probe, Program, Room
from scorers.hosted.seccomp import Allowed
from scorers.hosted.start import Given, Places, Plan

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
            return Probe(holds=False, why=INSTALL, door=False)
        return probed(self, "bwrap cannot make namespaces here (docs/hosted-threats.md, containers)")

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
        host = start.on_host(room, program)
        there = inside(host)
        group = start.group_for(room.limits, wanted=self.cgroup)

        def command(given: Given) -> tuple[str, ...]:
            limits = (f"--{name}={value}" for name, value in given.rlimits.items())
            built = (*_walls(room.limits, counted=group is not None), *_given(host, there), *_variables(room))
            passing = ("--seccomp", str(given.seccomp), "--info-fd", str(given.info))
            return (*AT_THE_GATE, "prlimit", *limits, "--", "bwrap", *built, *SEALED, *passing, "--", *given.argv)

        allowed = Allowed(network=room.door is not None, fork=room.limits.fork, memory_files=group is not None)
        return Plan(command, there, allowed, group, host)


def inside(host: Places) -> Places:
    """Returns where the things of a room stand in a sandbox with a file system of its own."""
    root = Path("/sandbox")
    return Places(
        python=host.python,
        inside=root / "inside",
        code=root / "code",
        packages=host.packages and root / "packages",
        shim=root / "shim",
        door=host.door and root / "door",
        writable=host.writable and root / "writable",
    )


def probed(tier: "Bubblewrap", hint: str) -> Probe:
    """Returns whether a tier can start Python here, and what it lacks of the best."""
    room = Room(code=INSIDE, packages=None, shim=INSIDE)
    try:
        wrong = start.trial(tier.plan(room), room.limits)
    except NoRoom as error:
        return Probe(holds=False, why=str(error), door=False)
    if wrong:
        return Probe(holds=False, why=f"{hint}: {wrong.strip().splitlines()[-1]}", door=False)
    counted = start.groups() if tier.cgroup else "told to use none"
    without = (
        "" if isinstance(counted, Groups) else f"without a control group: no /tmp, no processes of its own; {counted}"
    )
    return Probe(holds=True, why=without, door=True)


def _walls(limits: Limits, *, counted: bool) -> tuple[str, ...]:
    """Namespaces, an empty root, the system's programs. Without a control group nothing counts files: then /tmp is not writable."""
    shared = "1048576" if counted else "4096"
    tmp = ("--size", str(limits.tmp_mib << 20), "--tmpfs", "/tmp") if counted else ("--dir", "/tmp")  # noqa: S108
    return (
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *(("--disable-userns",) if _knows("--disable-userns") else ()),
        *("--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--clearenv"),
        *system_folders(),
        *("--proc", "/proc", "--dev", "/dev", "--size", shared, "--tmpfs", "/dev/shm", *tmp),  # noqa: S108
    )


SEALED = ("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/")
"""bubblewrap's own root and /dev are memory without a limit, writable until now."""


def system_folders() -> tuple[str, ...]:
    """Programs and libraries of the host; /etc stays out but for the linker's cache."""
    argv: tuple[str, ...] = (TO_READ, "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            argv += (TO_READ, str(path), str(path))
    return (*argv, "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache")


def _given(host: Places, there: Places) -> tuple[str, ...]:
    argv: tuple[str, ...] = ()
    prefix = host.python.parent.parent
    if not prefix.is_relative_to("/usr"):
        argv += (TO_READ, str(prefix), str(prefix))
    for name in ("inside", "code", "packages", "shim"):
        if source := getattr(host, name):
            argv += (TO_READ, str(source), str(getattr(there, name)))
    if host.door:
        argv += ("--bind", str(host.door), str(there.door), "--ro-bind-try", "/etc/ssl/certs", "/etc/ssl/certs")
    if host.writable:
        argv += ("--bind", str(host.writable), str(there.writable))
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
