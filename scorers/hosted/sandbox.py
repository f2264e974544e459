"""The wall around a stranger's Python: one small interface, several ways (tiers) to hold it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scorers.hosted.channel import Answer, Call, Manifest


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use. Memory and processes count for all of it where the tier has a cgroup, else per process."""

    memory_mib: int = 512
    tmp_mib: int = 16
    processes: int = 64
    """Threads too."""
    open_files: int = 256
    file_mib: int = 16
    output_kib: int = 64
    """Of what it prints; the rest is read and dropped."""
    frame_kib: int = 64
    """One answer."""
    fork: bool = False
    """May start processes, not threads alone."""


@dataclass(frozen=True)
class Room:
    """What one sandbox sees; everything else of the host is absent.

    When the host runs as root every sandbox has a uid of its own, so each of these folders, and all above it, must be open to
    other users (`Path.chmod(0o755)`); `start` names the one that is not.
    """

    code: Path
    """Folder with the bundle: `scorer.py`. Read-only inside."""
    packages: Path | None
    """Folder of installed requirements, read-only, last on `sys.path`; its `.pth` files are not run."""
    shim: Path
    """Folder with our importable `vedette` and `judgeval`, read-only, before `packages` on `sys.path`."""
    door: Path | None = None
    """Unix socket of the host that leads to gateway and egress proxy, seen inside as 127.0.0.1:3128. None: no network whatever."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Nothing of the host's own environment is added."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Program:
    """What runs inside: `{python}`, `{inside}`, `{code}`, `{packages}`, `{shim}`, `{door}` and `{writable}` in argv become paths."""

    argv: tuple[str, ...]
    writable: Path | None = None
    """A folder of the host, empty, that the program may fill. Its owner becomes the sandbox's uid: never trust what is in it."""


WORKER = Program(("{python}", "-I", "-S", "-B", "{inside}/worker.py", "{code}", "{packages}", "{shim}", "{door}"))
"""Imports the bundle and answers batches of calls."""


@dataclass(frozen=True)
class Probe:
    """Whether a tier holds on this machine."""

    holds: bool
    why: str
    """What stands in the way and what to install; when it holds, what it lacks of the best one."""
    door: bool = False
    """Whether a scorer in it can reach a gateway."""
    fork: bool = False
    """Whether it can count processes that a scorer starts, so that `Limits.fork` may be set."""


class Cell(Protocol):
    """One running sandbox. A worker is called, one batch at a time; another program runs once."""

    @property
    def pid(self) -> int:
        """Of the outermost process, as the host sees it."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it runs and can be called."""
        ...

    @property
    def log(self) -> str:
        """What it printed so far, cut to `output_kib`."""
        ...

    async def manifest(self, deadline_s: float = 60.0) -> Manifest:
        """Returns what the bundle says of itself; an import that hangs or dies is told in `error`."""
        ...

    async def call(self, batch: Sequence[Call], deadline_s: float) -> list[Answer]:
        """Returns one answer per call, in order, and never raises for what the scorer does.

        Args:
            batch: judged by fresh instances, several at a time.
            deadline_s: seconds for each example, from its own start, kept by the host.

        """
        ...

    async def run(self, deadline_s: float) -> tuple[int, str]:
        """Waits for another program than the worker to end: its exit code (negative: a signal) and what it printed.

        Raises:
            TimeoutError: it was killed after `deadline_s`.

        """
        ...

    async def kill(self) -> None:
        """Ends every process of the sandbox; harmless when it has ended already."""
        ...


class Sandbox(Protocol):
    """A tier: a frozen dataclass whose fields are its configuration."""

    @property
    def name(self) -> str: ...

    def probe(self) -> Probe:
        """Returns whether it holds here, by trying it."""
        ...

    async def start(self, room: Room, program: Program = WORKER) -> Cell:
        """Starts a program in a room.

        Raises:
            NoRoom: the tier cannot build this room; the text names the fix.

        """
        ...


class NoRoom(Exception):
    """A sandbox cannot be built as asked: a folder that its uid cannot reach, a door in a tier without a network."""
