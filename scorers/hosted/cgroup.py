"""Memory, processes and processor time of a whole sandbox, counted by the kernel: control groups, version 2 or 1."""

import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scorers.hosted.sandbox import Limits

ROOT = Path("/sys/fs/cgroup")
PREFIX = "vedette-"
GONE_S = 2.0
WEIGHTS = {"cpu.weight": 100, "cpu.shares": 1024}
"""What every group has when it is made: version 2, version 1."""
GIVES_WAY = 10
"""Whoever gives way has a tenth of it."""


@dataclass(frozen=True)
class Group:
    """The control group of one sandbox: one folder (version 2) or one for each controller (version 1)."""

    folders: tuple[Path, ...]

    def add(self, pid: int) -> None:
        """Puts a process into it; what it starts is born there."""
        for folder in self.folders:
            _write(folder / "cgroup.procs", pid)

    def give_way(self, *, yields: bool) -> None:
        """Has it leave the processors to others who want them, but for a tenth of a share; or take its share again."""
        for folder in self.folders:
            for name, whole in WEIGHTS.items():
                if (folder / name).exists():
                    with suppress(OSError):  # it has ended
                        _write(folder / name, whole // GIVES_WAY if yields else whole)

    def out_of_memory(self) -> bool:
        """Returns whether the kernel ended a process of it for its memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with suppress(OSError):
                    words = (folder / name).read_text(encoding="ascii").split()
                    if int(words[words.index("oom_kill") + 1]):
                        return True
        return False

    def remove(self) -> None:
        """Ends what is still in it and removes it; blocks for the few milliseconds that the kernel needs."""
        for folder in self.folders:
            end = time.monotonic() + GONE_S
            while folder.exists() and time.monotonic() < end:
                with suppress(OSError):
                    folder.rmdir()
                    break
                _kill_all(folder)
                time.sleep(0.002)


@dataclass(frozen=True)
class Groups:
    """Where this process may make control groups with limits for memory and processes, and for processor time if it may."""

    memory: Path
    pids: Path
    cpu: Path | None = None

    def make(self, limits: Limits) -> Group:
        """Makes a control group with the limits of one sandbox.

        Raises:
            OSError: it may not.

        """
        name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
        folders = tuple(parent / name for parent in self._parents())
        group = Group(folders)
        for folder in folders:
            folder.mkdir()
        try:
            for file, value in _settings(limits, version_2=self.memory == self.pids).items():
                for folder in folders:
                    if (folder / file).exists():
                        _write(folder / file, value)
        except OSError:
            group.remove()
            raise
        return group

    def _parents(self) -> list[Path]:
        return list(dict.fromkeys(filter(None, (self.memory, self.pids, self.cpu))))

    def sweep(self) -> None:
        """Removes what a runner that was killed left behind."""
        for parent in self._parents():
            for folder in parent.glob(f"{PREFIX}*-*"):
                pid = folder.name.removeprefix(PREFIX).split("-")[0]
                if not Path("/proc", pid).exists():
                    _kill_all(folder)
                    with suppress(OSError):
                        folder.rmdir()


def _settings(limits: Limits, *, version_2: bool) -> dict[str, object]:
    memory = limits.memory_mib << 20
    if version_2:
        return {
            "memory.max": memory,
            "memory.swap.max": 0,
            "memory.oom.group": 1,
            "pids.max": limits.processes,
            "cpu.max": "100000 100000",
        }
    return {
        "memory.limit_in_bytes": memory,
        "memory.memsw.limit_in_bytes": memory,
        "pids.max": limits.processes,
        "cpu.cfs_quota_us": 100_000,
    }


def found(root: Path = ROOT, own: str | None = None) -> Groups | str:
    """Returns where groups can be made, or why they cannot.

    Args:
        root: where the control groups are mounted.
        own: the text of /proc/self/cgroup.

    """
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8") if own is None else own
    paths = {controller: path for _, names, path in _lines(own) for controller in names.split(",")}
    if (root / "cgroup.controllers").exists():
        return _version_2(root, root / paths.get("", "/").lstrip("/"))
    places = {name: _place(root / name, paths.get(name, "/")) for name in ("memory", "pids", "cpu")}
    missing = [name for name in ("memory", "pids") if places[name] is None]
    if missing:
        return f"the control group of {' and '.join(missing)} is absent or not writable"
    return Groups(memory=places["memory"] or root, pids=places["pids"] or root, cpu=places["cpu"])


def _lines(own: str) -> list[tuple[str, str, str]]:
    return [(number, names, path) for number, names, path in (line.split(":", 2) for line in own.splitlines())]


def _place(mounted: Path, path: str) -> Path | None:
    own = mounted / path.lstrip("/")
    return next((place for place in (own, mounted) if place.is_dir() and os.access(place, os.W_OK)), None)


def _version_2(root: Path, own: Path) -> Groups | str:
    """Children with limits need a parent that has no process itself, unless it is the root: a runner alone moves into a leaf."""
    if not os.access(own / "cgroup.subtree_control", os.W_OK):
        return (
            "its control group is not delegated to it (systemd: Delegate=yes; a container: a writable /sys/fs/cgroup)"
        )
    try:
        if not {"memory", "pids"} <= _words(own / "cgroup.subtree_control"):
            if own != root and _words(own / "cgroup.procs") == {str(os.getpid())}:
                (own / "vedette-runner").mkdir(exist_ok=True)
                _write(own / "vedette-runner" / "cgroup.procs", os.getpid())
            _write(own / "cgroup.subtree_control", "+memory +pids")
            with suppress(OSError):
                _write(own / "cgroup.subtree_control", "+cpu")
    except OSError as error:
        return (
            f"its control group shares out neither memory nor pids ({error.strerror}): give the runner one of its own"
        )
    return Groups(own, own)


def _words(file: Path) -> set[str]:
    return set(file.read_text(encoding="ascii").split())


def _write(file: Path, value: object) -> None:
    file.write_text(str(value), encoding="ascii")


def _kill_all(folder: Path) -> None:
    with suppress(OSError):
        if (folder / "cgroup.kill").exists():
            _write(folder / "cgroup.kill", 1)
        else:
            for pid in _words(folder / "cgroup.procs"):
                os.kill(int(pid), 9)
