"""gVisor: a kernel of its own in user space, for bundles of strangers. Configuration: it holds where its probe and the attacks say so."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scorers.hosted import places, start
from scorers.hosted.places import Places
from scorers.hosted.sandbox import WORKER, Cell, Probe, Program, Room
from scorers.hosted.seccomp import Allowed
from scorers.hosted.start import Given, Plan
from scorers.hosted.tiers.bubblewrap import AT_THE_GATE

NOBODY = 65534
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")


@dataclass(frozen=True)
class GVisor:
    """Runs each sandbox by `runsc` as an OCI container without a network."""

    runtime: str = "runsc"
    platform: str = "systrap"
    """`systrap` everywhere; `kvm` on bare metal."""
    cgroup: bool = True
    name: str = "gvisor"

    def probe(self) -> Probe:
        """Returns whether runsc is installed and runs Python here."""
        if not shutil.which(self.runtime):
            return Probe(holds=False, why=f"{self.runtime} is not installed (gvisor.dev)")
        return start.probed(self.plan, f"{self.runtime} does not run here", counted=self.cgroup)

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

        bundle = Path(tempfile.mkdtemp(prefix="vedette-oci-", dir="/var/tmp"))

        def command(given: Given) -> tuple[str, ...]:
            (bundle / "root").mkdir()
            (bundle / "config.json").write_text(json.dumps(container(given, room, host, there)), encoding="utf-8")
            return self.argv(given, bundle)

        allowed = Allowed(network=room.door is not None, fork=room.limits.fork)
        return Plan(command, there, allowed, group, scratch=bundle)

    def argv(self, given: Given, bundle: Path) -> tuple[str, ...]:
        """Returns the command that runs a bundle; the two pipes of the channel, its last argument, keep their numbers."""
        channel = given.argv[-1].split(",") if given.argv[-1].replace(",", "").isdigit() else []
        passed = (f"--pass-fd={fd}:{fd}" for fd in channel)
        options = (
            "--network=none",
            "--host-uds=open",
            f"--platform={self.platform}",
            "--ignore-cgroups",
            f"--root={bundle}/state",
        )
        return (*AT_THE_GATE, self.runtime, *options, "run", f"--bundle={bundle}", *passed, bundle.name)


def container(given: Given, room: Room, host: Places, there: Places) -> dict[str, object]:
    """Returns the OCI runtime specification of one sandbox."""
    system = [(folder, folder, False) for folder in places.system_folders()]
    return {
        "ociVersion": "1.1.0",
        "hostname": "sandbox",
        "root": {"path": "root", "readonly": True},
        "process": {
            "user": {"uid": NOBODY, "gid": NOBODY},
            "args": list(given.argv),
            "env": [f"{name}={value}" for name, value in {**start.ENVIRONMENT, **room.env}.items()],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": [
                {"type": f"RLIMIT_{name.upper()}", "soft": value, "hard": value}
                for name, value in given.rlimits.items()
            ],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {
                "destination": "/tmp",  # noqa: S108 - inside
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "nodev", f"size={room.limits.tmp_mib}m"],
            },
            *(_mount(*bound) for bound in [*system, *places.binds(host, there)]),
        ],
        "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
    }


def _mount(source: str, target: str, writable: bool) -> dict[str, object]:  # noqa: FBT001 - as places.binds says it
    options = ["rbind", "nosuid", "nodev", "rw" if writable else "ro"]
    return {"destination": target, "type": "bind", "source": source, "options": options}
