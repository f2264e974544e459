"""A sandbox as the host sees it: a process that waits at a gate until it is counted and limited, is read, and is ended."""

import asyncio
import fcntl
import math
import os
import re
import select
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scorers.hosted.cgroup import Group
from scorers.hosted.slots import Slots

OVER_PAUSE_S, FLOOD_PAUSE_S = 0.01, 0.1
"""Between two reads of a log that is over its limit: it wakes the host 100 times a second at most, a flood ten times."""
FLOOD_BYTES = 64 << 20
PIPE_BYTES = 1 << 20
TRIAL_S = 10.0
TELLS_S = 0.1
"""A tier tells of the first process inside within milliseconds."""

_spawner = ThreadPoolExecutor(1, "sandbox-spawner")
"""One thread that never ends: the kernel ends the children of a thread that does (PR_SET_PDEATHSIG)."""


@dataclass(frozen=True)
class Launch:
    """What a tier wants started."""

    argv: tuple[str, ...]
    """Waits at the gate for a line on stdin, then goes on as the sandbox."""
    fds: tuple[int, ...]
    """Passed on under their numbers and closed here."""
    uid: int | None
    group: Group | None
    info: int
    """Where the tier tells `"child-pid": N`, the first process of the pid namespace: when it ends, all of it ends. Is it a child
    of this process, it stands for the sandbox from then on."""
    scratch: Path | None = None
    """A folder of the tier's own, which the sandbox cannot see."""


class Process:
    """A running sandbox."""

    def __init__(self, launch: Launch, popen: subprocess.Popen[bytes], log: "Log", slots: Slots | None) -> None:
        self._launch = launch
        self._popen = popen
        self.log = log
        self._slots = slots
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._killing: asyncio.Task[None] | None = None
        self._inner: int | None = None
        self._yields = False
        self.pid = popen.pid
        """Of the outermost process, as the host sees it."""
        self._watch()

    def _watch(self) -> None:
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def ended(self) -> bool:
        return self._exited.done()

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self.pid != self._popen.pid:
            self._exited.set_result(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))
        elif (inner := self._first_inside()) and _is_ours(inner):
            self._popen.wait()
            self.pid = inner
            self._watch()
        else:
            self._exited.set_result(_exit_code(_reaped(self._popen)))

    def _first_inside(self) -> int | None:
        self._inner = self._inner or _child(self._launch.info)
        return self._inner

    async def exit(self, within_s: float) -> int | None:
        """Returns the exit code (negative: a signal), None if it still runs after `within_s`."""
        done, _ = await asyncio.wait([self._exited], timeout=None if within_s == math.inf else within_s)
        return self._exited.result() if done else None

    def give_way(self, *, yields: bool) -> None:
        """Has it leave the processors to others, or take its share again."""
        if self._launch.group and yields != self._yields:
            self._yields = yields
            self._launch.group.give_way(yields=yields)

    def why(self, code: int) -> str:
        """Returns what ended it, in one or two words: `memory`, `signal 11`, `exit 3`."""
        if self._launch.group and self._launch.group.out_of_memory():
            return "memory"
        return f"signal {-code}" if code < 0 else f"exit {code}"

    async def kill(self) -> None:
        """Ends all of it and returns when nothing is left; whoever asks again, or gives up waiting, changes nothing."""
        if self._killing is None:
            self._killing = asyncio.ensure_future(self._kill())
        await asyncio.shield(self._killing)

    async def _kill(self) -> None:
        if not self.ended:
            await self._told()
        if not self.ended:
            self._end()
            if await self.exit(within_s=1.0) is None:
                with suppress(ProcessLookupError):
                    os.killpg(os.getpgid(self.pid), signal.SIGKILL)
                await self._exited
        await self._loop.run_in_executor(None, clear, self._launch, self._slots)
        self.log.close()

    async def _told(self) -> None:
        """Waits a moment until the first process inside is told of, or that there is none: not known, it would outlive its parent."""
        told = asyncio.Event()
        if self._first_inside() is None:
            self._loop.add_reader(self._launch.info, told.set)
            with suppress(TimeoutError):
                async with asyncio.timeout(TELLS_S):
                    await told.wait()
            self._loop.remove_reader(self._launch.info)

    def _end(self) -> None:
        """The inner end first: its parent reaps it, so that no orphan is left to the host's init."""
        inner = self._first_inside()
        with suppress(OSError):
            if inner and _parent(inner) in (self.pid, os.getpid()):
                os.kill(inner, signal.SIGKILL)
            else:
                os.killpg(self.pid, signal.SIGKILL)


def _reaped(popen: subprocess.Popen[bytes]) -> int:
    """Reaps the outermost process, and what it forked and could not tell of any more: that dies with its group."""
    with suppress(OSError):
        os.killpg(popen.pid, signal.SIGKILL)  # its number is its own until it is reaped
    code = popen.wait()
    with suppress(ChildProcessError):
        os.waitpid(-popen.pid, 0)
    return code


def clear(launch: Launch, slots: Slots | None) -> None:
    """Gives back what a sandbox that has ended, or never began, held."""
    if launch.group:
        launch.group.remove()
    if launch.scratch:
        shutil.rmtree(launch.scratch, ignore_errors=True)
    os.close(launch.info)
    if slots and launch.uid is not None:
        slots.give_back(launch.uid)


class Log:
    """What a sandbox prints: the beginning is kept, the rest is thrown away without being copied."""

    def __init__(self, fd: int, limit: int) -> None:
        self._fd = fd
        self._limit = limit
        self._kept = bytearray()
        self._dropped = 0
        self._nowhere = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    @property
    def text(self) -> str:
        """What is kept, and how much is not."""
        kept = self._kept.decode("utf-8", "replace")
        return f"{kept}\n[{self._dropped} more bytes were dropped]" if self._dropped else kept

    def _read(self) -> None:
        with suppress(BlockingIOError):
            if len(self._kept) < self._limit:
                self._keep(os.read(self._fd, 65536))
            else:
                self._drop()

    def _keep(self, data: bytes) -> None:
        if not data:
            self._loop.remove_reader(self._fd)
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        if len(data) > room:
            self._dropped += len(data) - room
            with suppress(OSError):
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def _drop(self) -> None:
        self._loop.remove_reader(self._fd)
        if moved := os.splice(self._fd, self._nowhere, PIPE_BYTES):
            self._dropped += moved
            pause = OVER_PAUSE_S if self._dropped < FLOOD_BYTES else FLOOD_PAUSE_S
            self._pause = self._loop.call_later(pause, self._loop.add_reader, self._fd, self._read)

    def close(self) -> None:
        """Reads what is left and lets go."""
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._fd)
        while len(self._kept) < self._limit and (data := _ready(self._fd)):
            self._keep(data)
        os.close(self._fd)
        os.close(self._nowhere)


async def spawn(launch: Launch, output_limit: int, slots: Slots | None) -> Process:
    """Starts what a tier wants started; `launch.fds` are closed here, whatever happens.

    Raises:
        OSError: it cannot be started, counted or limited.

    """
    reading, writing = os.pipe()
    try:
        popen = await asyncio.get_running_loop().run_in_executor(_spawner, _started, launch, writing)
    except BaseException:
        os.close(reading)
        clear(launch, slots)
        raise
    finally:
        for fd in (writing, *launch.fds):
            os.close(fd)
    return Process(launch, popen, Log(reading, output_limit), slots)


def _started(launch: Launch, log: int) -> subprocess.Popen[bytes]:
    uid = launch.uid
    popen = subprocess.Popen(  # noqa: S603 - argv is a tier's own
        launch.argv,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        bufsize=0,
        pass_fds=launch.fds,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        process_group=0,
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    try:
        _through_the_gate(launch, popen)
    except BaseException:
        popen.kill()
        popen.wait()
        raise
    return popen


def _through_the_gate(launch: Launch, popen: subprocess.Popen[bytes]) -> None:
    if launch.group:
        launch.group.add(popen.pid)
    if popen.stdin:
        popen.stdin.write(b"\n")
        popen.stdin.close()


def _child(info: int) -> int | None:
    found = re.search(rb'"child-pid":\s*(\d+)', _ready(info))
    return int(found[1]) if found else None


def _is_ours(pid: int) -> bool:
    """Whether it is a child of this process, so that its end is reaped here."""
    return _parent(pid) == os.getpid()


def _parent(pid: int) -> int:
    """Returns the parent of a process, 0 if it is gone."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(stat.rpartition(") ")[2].split()[1])


def _ready(fd: int) -> bytes:
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def _exit_code(code: int) -> int:
    """Shells and bwrap tell a signal as 128 + its number."""
    return 128 - code if 128 < code < 128 + signal.NSIG else code


def tried(launch: Launch, slots: Slots | None) -> str:
    """Starts something short, waits for it, and returns what it printed if it failed, else nothing. Blocks.

    `launch.fds` are closed, and its group and uid given back.
    """
    reading, writing = os.pipe()
    failed = ""
    try:
        popen = _spawner.submit(_started, launch, writing).result(TRIAL_S)
        _ended(popen.pid)
        if (inner := _child(launch.info)) and _is_ours(inner):
            popen.wait()
            _ended(inner)
            code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        else:
            code = _reaped(popen)
        failed = "" if code == 0 else _ready(reading).decode("utf-8", "replace") or f"it ended with {code}"
    except (OSError, TimeoutError) as error:
        failed = str(error)
    finally:
        for fd in (reading, writing, *launch.fds):
            os.close(fd)
        clear(launch, slots)
    return failed


def _ended(pid: int) -> None:
    """Waits until a child has ended; one that takes too long is."""
    pidfd = os.pidfd_open(pid)
    ending = select.poll()
    ending.register(pidfd, select.POLLIN)
    if not ending.poll(TRIAL_S * 1000):
        os.kill(pid, signal.SIGKILL)
    os.close(pidfd)
