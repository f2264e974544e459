"""What every tier does alike: uid, control group, limits, pipes and environment around the command that is its own."""

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from scorers.hosted.cell import Ends, Run, Worker
from scorers.hosted.cgroup import Group, Groups, found
from scorers.hosted.places import Places
from scorers.hosted.process import Launch, Process, clear, spawn, tried
from scorers.hosted.python import INSIDE, reachable
from scorers.hosted.sandbox import WORKER, Cell, Limits, NoRoom, Probe, Program, Room
from scorers.hosted.seccomp import Allowed, program
from scorers.hosted.slots import slots

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - inside
    "USER": "scorer",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
ADDRESS_SPACE = 8 << 30
"""Where a control group counts memory: threads and arenas reserve far more addresses than they use."""
RLIMIT_MSGQUEUE = 12
"""The one that Python's module does not name."""
OWN_PROCESSES = 4
"""Of the tier itself, in the sandbox's uid and control group."""


@dataclass(frozen=True)
class Given:
    """What the host gives to a tier's command."""

    argv: tuple[str, ...]
    """Of the program, as it is called inside."""
    seccomp: int
    """Descriptor of the filter."""
    info: int
    """Descriptor to tell the child's pid on."""
    rlimits: Mapping[str, int]
    """By their names without RLIMIT_, lower case."""


@dataclass(frozen=True)
class Plan:
    """How a tier starts one sandbox."""

    command: Callable[[Given], tuple[str, ...]]
    """The argv that builds the wall and runs the program behind it."""
    places: Places
    """As the program sees them."""
    allowed: Allowed
    group: Group | None
    scratch: Path | None = None
    """A folder of the tier's own, removed when the sandbox has ended."""


def confine(host: Places) -> tuple[str, ...]:
    """Returns the argv of the program that builds a wall from within; its spec follows."""
    return (str(host.python), "-I", "-S", "-B", str(host.inside / "confine.py"))


def confinement(given: Given, room: Room) -> dict[str, object]:
    """Returns what each spec of it has."""
    return {
        "argv": given.argv,
        "env": {**ENVIRONMENT, **room.env},
        "rlimits": [(rlimit_number(name), value) for name, value in given.rlimits.items()],
        "seccomp": given.seccomp,
        "info": given.info,
    }


async def start(plan: Plan, room: Room, program: Program) -> Cell:
    """Starts a program behind a tier's wall.

    Raises:
        NoRoom: it cannot be started, counted or limited.

    """
    argv = plan.places.filled(program.argv)
    if program != WORKER:
        return Run(await _spawned(_launch(plan, room.limits, program, argv, ()), room.limits))
    inward, outward = os.pipe(), os.pipe()
    theirs = (inward[0], outward[1])
    ends = Ends(reading=outward[0], writing=inward[1])
    try:
        launch = _launch(plan, room.limits, program, (*argv, f"{theirs[0]},{theirs[1]}"), theirs)
        process = await _spawned(launch, room.limits)
    except BaseException:
        os.close(ends.reading)
        os.close(ends.writing)
        raise
    return Worker(process, ends, room.limits)


def probed(plan: Callable[[Room], Plan], failed: str, *, counted: bool, door: bool = True) -> Probe:
    """Returns whether a tier can start Python here, and what it lacks of the best."""
    room = Room(code=reachable(INSIDE), packages=None, shim=INSIDE)
    try:
        wrong = trial(plan(room), room.limits)
    except NoRoom as error:
        return Probe(holds=False, why=str(error))
    if wrong:
        return Probe(holds=False, why=f"{failed}: {wrong.strip().splitlines()[-1]}")
    where = groups() if counted else "told to use none"
    without = (
        "" if isinstance(where, Groups) else f"without a control group, which would count memory and processes: {where}"
    )
    return Probe(holds=True, why=without, door=door, fork=isinstance(where, Groups))


def trial(plan: Plan, limits: Limits) -> str:
    """Starts Python in a tier and waits for its end: what went wrong, empty if nothing did. Blocks."""
    argv = plan.places.filled(("{python}", "-I", "-S", "-c", "pass"))
    try:
        launch = _launch(plan, limits, Program(argv), argv, ())
    except (NoRoom, LookupError, OSError) as error:
        return str(error)
    return tried(launch, slots())


async def _spawned(launch: Launch, limits: Limits) -> Process:
    try:
        return await spawn(launch, limits.output_kib << 10, slots())
    except OSError as error:
        raise NoRoom(f"a sandbox cannot be started: {error}") from error


def _launch(plan: Plan, limits: Limits, program: Program, argv: tuple[str, ...], passed: tuple[int, ...]) -> Launch:
    """Takes what a sandbox holds; gives back all of it, `passed` too, when something is missing."""
    try:
        steps = _filter(plan.allowed)
        uid = _uid()
    except BaseException:
        for fd in passed:
            os.close(fd)
        if plan.group:
            plan.group.remove()
        raise
    filters = _memory_file(steps)
    told, telling = os.pipe()
    launch = Launch((), (filters, telling, *passed), uid=uid, group=plan.group, info=told, scratch=plan.scratch)
    try:
        if uid is not None and program.writable:
            os.chown(program.writable, uid, uid)
        rlimits = _rlimits(limits, counted=plan.group is not None, own_uid=uid is not None)
        return replace(launch, argv=plan.command(Given(argv, filters, telling, rlimits)))
    except BaseException:
        for fd in launch.fds:
            os.close(fd)
        clear(launch, slots())
        raise


def _uid() -> int | None:
    ours = slots()
    try:
        return ours.take() if ours else None
    except LookupError as error:
        raise NoRoom(str(error)) from error


@cache
def _filter(allowed: Allowed) -> bytes:
    return program(allowed)


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("filter")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _rlimits(limits: Limits, *, counted: bool, own_uid: bool) -> Mapping[str, int]:
    """No limit is higher than the host's own: only a privileged process may raise one."""
    wanted = {
        "as": ADDRESS_SPACE if counted else limits.memory_mib << 20,
        "nofile": limits.open_files,
        "fsize": limits.file_mib << 20,
        "core": 0,
        "memlock": 65536,
        "msgqueue": 0,
    }
    if own_uid:
        wanted["nproc"] = limits.processes + OWN_PROCESSES
    elif not counted:
        wanted["nproc"] = _tasks_of_mine() + limits.processes
    return {name: _at_most(name, value) for name, value in wanted.items()}


def rlimit_number(name: str) -> int:
    """Returns the kernel's number of a limit."""
    return RLIMIT_MSGQUEUE if name == "msgqueue" else int(getattr(resource, f"RLIMIT_{name.upper()}"))


def _at_most(name: str, value: int) -> int:
    _, hard = resource.getrlimit(rlimit_number(name))
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _tasks_of_mine() -> int:
    """Threads of this uid, which share the kernel's count with a sandbox that has no uid of its own."""
    mine = os.geteuid()
    count = 0
    for folder in Path("/proc").glob("[0-9]*/task"):
        try:
            if folder.stat().st_uid == mine:
                count += sum(1 for _ in folder.iterdir())
        except OSError:
            continue
    return count


@cache
def groups() -> Groups | str:
    """Returns where control groups can be made, or why they cannot; tried once, with a group and a process of its own."""
    place = found()
    if isinstance(place, str):
        return place
    place.sweep()
    try:
        place.make(Limits()).remove()
    except OSError as error:
        return f"control groups cannot be made: {error}"
    return place


def group_for(limits: Limits, *, wanted: bool) -> Group | None:
    """Returns a control group for one sandbox, None where there are none.

    Raises:
        NoRoom: the limits need one.

    """
    place = groups() if wanted else "this tier is told to use none"
    if isinstance(place, Groups):
        try:
            return place.make(limits)
        except OSError as error:
            raise NoRoom(f"a control group cannot be made: {error}") from error
    if limits.fork:
        raise NoRoom(f"processes of its own need a control group, which counts them: {place}")
    return None
