"""Every tier, with real sandboxes."""

import asyncio
import os
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scorers.hosted.best import best
from scorers.hosted.cgroup import WEIGHTS
from scorers.hosted.channel import Call, Died, Judged, Raised, TimedOut, Unfinished
from scorers.hosted.sandbox import Cell, Limits, NoRoom, Probe, Program, Room, Sandbox
from scorers.hosted.slots import Slots
from scorers.hosted.start import trial
from scorers.hosted.tiers.bubblewrap import Bubblewrap
from scorers.hosted.tiers.landlock import Landlock
from scorers.hosted.tiers.namespaces import Namespaces
from tests.support.beside import family
from tests.support.rooms import Rooms, must_hold


def calls(*fields: dict[str, object]) -> list[Call]:
    return [Call(each) for each in fields]


async def test_a_scorer_is_introduced_and_judges(tier: Sandbox, rooms: Rooms) -> None:
    code = """
        import asyncio
        class CustomerRequest:
            request: str
            response: str
            def __init__(self, **fields): self.__dict__.update(fields)
        class Helpful:
            name = "Helpful"
            threshold = 0.7
            async def a_score_example(self, example: CustomerRequest):
                print("judging", example.request)
                await asyncio.sleep(0)
                self.reason = f"says {example.response}"
                return len(example.response) > 3
    """
    cell = await tier.start(rooms.room(code))
    manifest = await cell.manifest()
    (answer,) = await cell.call(calls({"request": "Where?", "response": "On its way"}), 10)
    await cell.kill()
    assert (manifest.class_name, manifest.scorer, manifest.threshold) == ("Helpful", "Helpful", 0.7)
    assert (manifest.kind, manifest.fields, manifest.error) == ("example", ("request", "response"), "")
    assert answer == Judged(1.0, "says On its way", "", "judging Where?\n")


async def test_a_trace_a_label_and_a_response_object_are_understood(tier: Sandbox, rooms: Rooms) -> None:
    code = """
        class Response:
            def __init__(self, value, reason): self.value, self.reason = value, reason
        class Steps:
            def score_trace(self, trace):
                return Response("short" if len(trace.spans) < 3 else "long", f"{len(trace['spans'])} spans")
    """
    cell = await tier.start(rooms.room(code))
    assert (await cell.manifest()).kind == "trace"
    assert await cell.call([Call({}, {"spans": [{}, {}]})], 10) == [Judged(None, "2 spans", "short")]
    await cell.kill()


@pytest.mark.parametrize(
    ("awaits", "answer"),
    [
        ("import asyncio; await asyncio.sleep(0.01); return 1", Judged(1.0)),
        ("await (lambda: other())(); return 1", Judged(1.0)),
        ("import types; await types.coroutine(lambda: (yield))(); return 1", None),
    ],
    ids=["a loop", "no loop", "something unheard of"],
)
async def test_what_an_author_awaits_gets_an_event_loop_only_if_it_needs_one(
    awaits: str, answer: object, rooms: Rooms
) -> None:
    code = f"async def other(): ...\nclass Mine:\n    async def a_score_example(self, example): {awaits}"
    cell = await Landlock().start(rooms.room(code))
    (got,) = await cell.call(calls({}), 10)
    await cell.kill()
    assert got == answer or (isinstance(got, Raised) and "import asyncio in the file" in got.error)


async def test_nothing_of_one_example_leaks_into_the_next(tier: Sandbox, rooms: Rooms) -> None:
    body = "said, self.reason = getattr(self, 'reason', 'fresh'), example.x\nreturn {'score': 1, 'reason': said}"
    cell = await tier.start(rooms.scorer(body))
    answers = await cell.call(calls({"x": "a"}, {"x": "b"}, {"x": "c"}), 10)
    await cell.kill()
    assert answers == [Judged(1.0, "fresh")] * 3


async def test_what_a_run_asks_for_is_set_on_the_instance(rooms: Rooms) -> None:
    cell = await Landlock().start(rooms.scorer("return self.threshold"))
    assert await cell.call([Call({}, None, {"threshold": 0.25})], 10) == [Judged(0.25)]
    await cell.kill()


OWN = {"threshold": 0.9, "model": "gpt-5-mini", "options": {"strict": True}}
SLOTS = """
class Mine:
    __slots__ = ("reason", "threshold")
    def a_score_example(self, example): return self.threshold
"""
METHOD = """
class Mine:
    def model(self): return 0.3
    def a_score_example(self, example): return self.model()
"""
CLOSED = """
from pydantic import BaseModel
class Mine(BaseModel):
    threshold: float = 0.5
    reason: str = ""
    def a_score_example(self, example): return self.threshold
"""
CHECKED = """
from pydantic import BaseModel, Field
class Mine(BaseModel, validate_assignment=True):
    threshold: float = Field(0.5, lt=0.8)
    def a_score_example(self, example): return self.threshold
"""
FIXED = """
class Mine:
    @property
    def model(self): return "always this one"
    def a_score_example(self, example): return 1.0
"""


@pytest.mark.parametrize(
    ("code", "value", "told"),
    [
        (SLOTS, 0.9, ""),
        (CLOSED, 0.9, ""),
        (METHOD, 0.3, ""),
        (CHECKED, None, "threshold"),
        (FIXED, None, "model"),
    ],
    ids=["slots", "closed model", "a method of that name", "a value that is checked", "no setter"],
)
async def test_a_class_without_a_place_for_what_is_asked_judges_and_one_that_refuses_the_value_tells_so(
    code: str, value: float | None, told: str, rooms: Rooms
) -> None:
    cell = await Landlock().start(
        rooms.room(code, packages=Path(sysconfig.get_path("purelib")), limits=Limits(memory_mib=512))
    )
    (answer,) = await cell.call([Call({}, None, OWN)], 20)
    await cell.kill()
    if value is not None:
        assert answer == Judged(value)
    else:
        assert isinstance(answer, Raised)
        assert told in answer.error


async def test_blocking_scorers_of_a_batch_run_side_by_side(tier: Sandbox, rooms: Rooms) -> None:
    cell = await tier.start(rooms.scorer("time.sleep(0.4)\nreturn 1"))
    await cell.manifest()
    began = time.monotonic()
    answers = await cell.call(calls(*({"x": i} for i in range(8))), 10)
    await cell.kill()
    assert answers == [Judged(1.0)] * 8
    assert time.monotonic() - began < 8 * 0.4, "one after the other"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise KeyError('answer')", "KeyError: 'answer' (scorer.py, line 4, in a_score_example)"),
        ("return None", "the scorer returned NoneType; return a number from 0 to 1"),
        ("return float('nan')", "the scorer returned nan; return a finite number"),
        ("return b'1'", "the scorer returned bytes; return a number from 0 to 1"),
        ("self.error = 'no model'", "no model"),
        ("return example.answer", "AttributeError: the subject has no field 'answer'; it has ['x']"),
    ],
)
async def test_an_author_reads_what_to_mend(body: str, error: str, rooms: Rooms) -> None:
    cell = await Landlock().start(rooms.scorer(body))
    (answer,) = await cell.call(calls({"x": 1}), 10)
    await cell.kill()
    assert isinstance(answer, Raised)
    assert answer.error.startswith(error)


async def test_an_import_that_fails_shows_the_authors_traceback(tier: Sandbox, rooms: Rooms) -> None:
    cell = await tier.start(rooms.room("print('begun')\nimport nowhere\n"))
    manifest = await cell.manifest()
    (answer,) = await cell.call(calls({}), 10)
    await cell.kill()
    assert "line 2, in <module>" in manifest.error
    assert manifest.error.endswith("ModuleNotFoundError: No module named 'nowhere'\n")
    assert manifest.log == "begun\n"
    assert isinstance(answer, Raised)


@pytest.mark.parametrize(
    ("code", "deadline_s", "told"),
    [("import os; os._exit(3)", 20, "exit 3"), ("while True: pass", 0.5, "not done after 0.5 s")],
)
async def test_an_import_that_ends_or_hangs_is_told(code: str, deadline_s: float, told: str, rooms: Rooms) -> None:
    cell = await Landlock().start(rooms.room(code))
    assert (await cell.manifest(deadline_s)).error == f"the sandbox ended while the bundle was imported: {told}"
    assert isinstance((await cell.call(calls({}), 10))[0], Died)
    await cell.kill()


@pytest.mark.parametrize(
    ("code", "found"),
    [("x = 1", "none"), ("class A:\n def score(self, x): ...\nclass B:\n def score(self, x): ...", "A, B")],
)
async def test_a_bundle_without_exactly_one_scorer_is_told_which_it_has(code: str, found: str, rooms: Rooms) -> None:
    cell = await Landlock().start(rooms.room(code))
    assert (await cell.manifest()).error.endswith(f"found {found}\n")
    await cell.kill()


async def test_the_hung_one_is_killed_at_its_deadline_and_its_neighbours_keep_their_answers(
    tier: Sandbox, rooms: Rooms
) -> None:
    cell = await tier.start(rooms.scorer("time.sleep(60 if example.x else 0)\nreturn 1"))
    await cell.manifest()
    answers = await cell.call(calls({"x": 0}, {"x": 1}, {"x": 0}), 0.5)
    assert answers == [Judged(1.0), TimedOut(0.5), Judged(1.0)]
    assert not cell.alive
    assert await cell.call(calls({"x": 0}), 1) == [Unfinished()]
    await cell.kill()


@pytest.mark.parametrize(
    ("body", "why"),
    [("os._exit(3)", "exit 3"), ("import ctypes; ctypes.string_at(0)", "signal 11")],
)
async def test_a_death_is_told_by_its_cause(tier: Sandbox, body: str, why: str, rooms: Rooms) -> None:
    cell = await tier.start(rooms.scorer(body))
    assert await cell.call(calls({}), 10) == [Died(why)]
    await cell.kill()


async def test_memory_is_bounded(tier: Sandbox, rooms: Rooms) -> None:
    cell = await tier.start(rooms.scorer("return len(b'x' * (1 << 30))"))
    (answer,) = await cell.call(calls({}), 10)
    await cell.kill()
    assert answer == Died("memory") or (isinstance(answer, Raised) and answer.error.startswith("MemoryError"))


async def test_a_flood_of_output_is_cut_and_holds_up_nothing(tier: Sandbox, rooms: Rooms) -> None:
    cell = await tier.start(rooms.scorer("print('first')\nfor _ in range(32): os.write(1, b'A' * (1 << 20))\nreturn 1"))
    assert await cell.call(calls({}), 20) == [Judged(1.0, log="first\n")]
    await cell.kill()
    kept, _, dropped = cell.log.partition("\n[")
    assert len(kept) == 64 << 10
    assert dropped.endswith("more bytes were dropped]")


async def test_what_is_printed_beyond_the_limit_is_slowed_down(rooms: Rooms) -> None:
    printing = "began = time.monotonic()\nfor _ in range(6400): print('x' * 1000)\nreturn time.monotonic() - began"
    cell = await Landlock().start(rooms.scorer(printing))
    (answer,) = await cell.call(calls({}), 20)
    await cell.kill()
    assert isinstance(answer, Judged)
    assert answer.value is not None
    assert answer.value > 0.09


async def test_a_sandbox_that_is_slow_leaves_the_processors_to_others_until_it_is_fast_again(
    tier: Sandbox, rooms: Rooms
) -> None:
    cell = await tier.start(rooms.scorer("time.sleep(example.x)\nreturn 1"))
    await cell.manifest()
    mine = list(Path("/sys/fs/cgroup").glob(f"**/vedette-{os.getpid()}-*"))
    weights = [folder / name for folder in mine for name in WEIGHTS if (folder / name).exists()]
    found = []
    for seconds in (0, 0.2, 0):
        await cell.call(calls({"x": seconds}), 20)
        found.append([int(weight.read_text()) for weight in weights])
    await cell.kill()
    whole = found[0]
    assert found == [whole, [value // 10 for value in whole], whole]
    assert weights or not mine


async def test_a_scorer_that_prints_for_ever_still_has_its_answer(rooms: Rooms) -> None:
    cell = await Landlock().start(rooms.scorer("for _ in range(100_000): print('x' * 100)\nreturn 1"))
    (answer,) = await cell.call(calls({}), 20)
    await cell.kill()
    assert isinstance(answer, Judged)
    assert len(answer.log) == 16_384


async def test_nothing_of_it_is_alive_after_a_kill(tier: Sandbox, rooms: Rooms) -> None:
    room = rooms.scorer("return 1")
    cells = [await tier.start(room) for _ in range(3)]
    pids = [cell.pid for cell in cells]
    await asyncio.gather(*(cell.manifest() for cell in cells))
    await asyncio.gather(*(cell.kill() for cell in cells))
    assert not [pid for pid in pids if Path("/proc", str(pid)).exists()]
    await cells[0].kill()


async def test_a_kill_ends_the_call_that_is_under_way(tier: Sandbox, rooms: Rooms) -> None:
    cell = await tier.start(rooms.scorer("time.sleep(60)"))
    await cell.manifest()
    calling = asyncio.ensure_future(cell.call(calls({}), 60))
    await asyncio.sleep(0.1)
    await cell.kill()
    async with asyncio.timeout(5):
        assert await calling == [Died("signal 9")]


async def test_namespaces_need_no_process_beside_the_sandbox(rooms: Rooms) -> None:
    must_hold(Namespaces())
    cell = await Namespaces().start(rooms.scorer("return 1"))
    await cell.manifest()
    status = Path("/proc", str(cell.pid), "status").read_text(encoding="ascii")
    assert f"PPid:\t{os.getpid()}\n" in status
    assert f"NSpid:\t{cell.pid}\t1\n" in status
    assert family(cell.pid) == {cell.pid}
    await cell.kill()


def test_a_trial_waits_for_the_sandbox_and_not_for_who_made_its_namespaces(rooms: Rooms) -> None:
    must_hold(Namespaces())
    for tmp_mib, wrong in ((1, ""), (-1, "mount /tmp/tmp: Invalid argument")):
        room = rooms.scorer("return 1", limits=Limits(tmp_mib=tmp_mib))
        told = trial(Namespaces().plan(room), room.limits)
        assert told.strip().endswith(wrong)
        assert bool(told) == bool(wrong)


STARTS = """
import asyncio, sys
from pathlib import Path
from scorers.hosted.sandbox import Room
from scorers.hosted.tiers import bubblewrap, landlock, namespaces

async def main():
    tiers = {"bubblewrap": bubblewrap.Bubblewrap, "namespaces": namespaces.Namespaces, "landlock": landlock.Landlock}
    cell = await tiers[sys.argv[1]]().start(Room(Path(sys.argv[2]), None, Path(sys.argv[3])))
    await cell.manifest()
    print(cell.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_sandbox_dies_with_its_runner(tier: Sandbox, rooms: Rooms) -> None:
    room = rooms.scorer("return 1")
    command = [sys.executable, "-c", STARTS, tier.name, str(room.code), str(room.shim)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as runner:
        assert runner.stdout
        lived = family(int(runner.stdout.readline()))
        runner.kill()
    assert lived
    async with asyncio.timeout(5):
        while any(Path("/proc", str(pid)).exists() for pid in lived):
            await asyncio.sleep(0.01)


async def test_no_descriptor_stays_open(tier: Sandbox, rooms: Rooms) -> None:
    async def once(body: str) -> None:
        cell = await tier.start(rooms.scorer(body))
        await cell.call(calls({}), 5)
        await cell.kill()

    await once("return 1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for body in ("return 1", "os._exit(1)", "raise KeyError"):
        await once(body)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_a_room_shows_nothing_of_the_host(rooms: Rooms) -> None:
    tier = Bubblewrap()
    must_hold(tier)
    cell = await tier.start(
        rooms.scorer("return {'score': 1, 'reason': ' '.join(sorted(os.listdir('/') + list(os.environ)))}")
    )
    (answer,) = await cell.call(calls({}), 10)
    await cell.kill()
    assert isinstance(answer, Judged)
    seen = set(answer.reason.split()) - {"lib32", "lib64", "sbin"}
    ours = {"HOME", "LANG", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH", "PWD", "USER"}
    assert seen - ours - {"LC_CTYPE"} == {"bin", "dev", "etc", "lib", "proc", "sandbox", "tmp", "usr"}


async def _echoing(door: Path) -> asyncio.Server:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(echo, door)
    door.chmod(0o777)
    return server


async def test_a_door_is_the_one_way_out(tier: Sandbox, rooms: Rooms) -> None:
    if not tier.probe().door:
        with pytest.raises(NoRoom, match="needs a sandbox tier with a gateway"):
            await tier.start(rooms.scorer("return 1", door=rooms.folder / "door"))
        return
    body = """
        import socket
        def ask(port):
            with socket.create_connection(("127.0.0.1", port), 2) as asking:
                asking.sendall(b"hello\\n")
                return asking.recv(100).decode()
        try:
            ask(example.port)
            other = "reached"
        except OSError as error:
            other = type(error).__name__
        return {"score": 1, "reason": f"{ask(3128).strip()}, {other}"}
    """
    outside = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = outside.sockets[0].getsockname()[1]
    async with outside, await _echoing(rooms.folder / "door"):
        cell = await tier.start(rooms.scorer(body, door=rooms.folder / "door"))
        assert await cell.call(calls({"port": port}), 10) == [Judged(1.0, "heard hello, ConnectionRefusedError")]
        await cell.kill()


async def test_a_folder_that_is_closed_to_others_is_named(rooms: Rooms, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives sandboxes uids of their own")
    tmp_path.chmod(0o700)
    with pytest.raises(NoRoom, match=r"a sandbox's uid cannot reach .*: chmod o\+rx "):
        await Landlock().start(Room(tmp_path, None, rooms.shim))


async def test_another_program_fills_the_one_folder_it_may(tier: Sandbox, rooms: Rooms) -> None:
    folder = rooms.folder / "built"
    folder.mkdir()
    code = "import pathlib, sys; pathlib.Path(sys.argv[1], 'made').write_text('x'); print('done'); sys.exit(7)"
    cell = await tier.start(rooms.room("x = 1"), Program(("{python}", "-I", "-c", code, "{writable}"), folder))
    assert await cell.run(20) == (7, "done\n")
    assert (folder / "made").stat().st_size == 1


async def test_another_program_is_killed_at_its_deadline(tier: Sandbox, rooms: Rooms) -> None:
    cell = await tier.start(
        rooms.room("x = 1"), Program(("{python}", "-I", "-c", "print('on', flush=True); import time; time.sleep(60)"))
    )
    with pytest.raises(TimeoutError, match="ran longer than 1 s and was killed; it printed: on"):
        await cell.run(1)


async def test_a_cancelled_batch_ends_its_sandbox(rooms: Rooms) -> None:
    cell: Cell = await Landlock().start(rooms.scorer("time.sleep(60)"))
    await cell.manifest()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cell.call(calls({}), 30), 0.2)
    assert not cell.alive
    await cell.kill()


async def test_a_sandbox_that_cannot_be_started_leaves_nothing_behind(
    tier: Sandbox, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = rooms.scorer("return 1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr("scorers.hosted.start.slots", lambda: Slots(range(0)))
    with pytest.raises(NoRoom, match="256 sandboxes run already"):
        await tier.start(room)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not list(Path("/sys/fs/cgroup").glob(f"*/**/vedette-{os.getpid()}-*"))


class Absent(Bubblewrap):
    def probe(self) -> Probe:
        return Probe(holds=False, why="install bubblewrap")


def test_the_best_tier_that_starts_is_taken_and_the_better_one_is_named() -> None:
    found = best((Absent(), Landlock()))
    assert found.sandbox == Landlock()
    assert found.told.startswith("sandbox tier landlock; ")
    assert found.told.endswith("no bubblewrap: install bubblewrap")


def test_where_no_tier_starts_uploads_are_refused_with_the_reason() -> None:
    found = best((Absent(),))
    assert found.sandbox is None
    assert found.told == "no sandbox tier holds here, uploads are refused; no bubblewrap: install bubblewrap"


async def test_processes_of_its_own_need_something_that_counts_them(rooms: Rooms) -> None:
    room = rooms.scorer("return 1")
    with pytest.raises(NoRoom, match="need a control group"):
        await Landlock(cgroup=False).start(replace(room, limits=Limits(fork=True)))
