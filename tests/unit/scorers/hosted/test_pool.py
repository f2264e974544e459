"""The pool with sandboxes whose every answer is scripted: what it does when they hang, die, lie, or are too few."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from scorers.hosted.channel import Answer, Call, Died, Judged, Manifest, Raised, TimedOut, Unfinished
from scorers.hosted.line import Key
from scorers.hosted.pool import Pool
from scorers.hosted.turns import Terms
from scorers.providers.caller import Trouble
from scorers.scorer import Permanent, Transient

GOOD, BAD = Key("shop", "good", "1"), Key("shop", "bad", "1")

MADE = Manifest("Good", "good")

Script = Callable[["ScriptedCell", Sequence[Call]], Awaitable[list[Answer]]]


async def judged(cell: "ScriptedCell", batch: Sequence[Call]) -> list[Answer]:
    await asyncio.sleep(0)
    return [Judged(1.0, reason=str(call.example["n"])) for call in batch]


@dataclass(eq=False)
class ScriptedCell:
    """A sandbox that answers by a function."""

    script: Script
    told: Manifest = field(default_factory=lambda: MADE)
    alive: bool = True
    log: str = ""
    pid: int = 0
    batches: list[list[object]] = field(default_factory=list)
    usd: float = 0.0

    async def manifest(self, _deadline_s: float = 60.0) -> Manifest:
        return self.told

    async def call(self, batch: Sequence[Call], _deadline_s: float) -> list[Answer]:
        self.batches.append([call.example["n"] for call in batch])
        return await self.script(self, batch)

    async def kill(self) -> None:
        self.alive = False


@dataclass
class Opened:
    cell: ScriptedCell

    def spent(self) -> tuple[float, Trouble | None]:
        return self.cell.usd, None

    async def close(self) -> None:
        await self.cell.kill()


@dataclass
class World:
    """Scripts by scorer, and the sandboxes that were started."""

    scripts: dict[Key, Script] = field(default_factory=dict)
    cells: dict[Key, list[ScriptedCell]] = field(default_factory=dict)
    refusals: list[Exception] = field(default_factory=list)
    told: Manifest = field(default_factory=lambda: MADE)

    async def open(self, key: Key) -> Opened:
        await asyncio.sleep(0.001)
        if self.refusals:
            raise self.refusals.pop(0)
        cell = ScriptedCell(self.scripts.get(key, judged), self.told)
        self.cells.setdefault(key, []).append(cell)
        return Opened(cell)

    @property
    def alive(self) -> int:
        return sum(cell.alive for cells in self.cells.values() for cell in cells)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def pool(world: World) -> AsyncIterator[Pool]:
    made = Pool(
        world.open, Terms(cells=4, cells_of_one=2, calls=100, patience_s=0.02, stands_s=0.1, batch=8, threads=4)
    )
    yield made
    await made.close()
    assert world.alive == 0


async def ask(pool: Pool, key: Key, number: int = 0) -> Answer:
    return (await asyncio.wait_for(pool.judge(key, Call({"n": number}), 5.0), 5)).answer


async def hang(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
    await asyncio.sleep(3600)
    return []


async def die(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
    cell.alive = False
    return [Died("signal 11") for _ in batch]


async def test_each_call_gets_its_own_answer_and_many_share_a_batch(pool: Pool, world: World) -> None:
    answers = await asyncio.gather(*(ask(pool, GOOD, number) for number in range(20)))
    assert answers == [Judged(1.0, reason=str(number)) for number in range(20)]
    (cell,) = world.cells[GOOD]
    assert max(map(len, cell.batches)) == 8
    assert [number for batch in cell.batches for number in batch] == list(range(20))


async def test_a_sandbox_is_used_again_and_projects_never_share_one(pool: Pool, world: World) -> None:
    other = Key("other", *GOOD[1:])
    for _ in range(3):
        await ask(pool, GOOD)
        await ask(pool, other)
    assert [len(world.cells[key]) for key in (GOOD, other)] == [1, 1]


async def test_a_slow_scorer_gets_a_second_sandbox_and_no_third(world: World) -> None:
    async def slow(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        await asyncio.sleep(0.1)
        return await judged(cell, batch)

    world.scripts[GOOD] = slow
    pool = Pool(world.open, Terms(cells_of_one=2, patience_s=0.02, batch=8, threads=4))
    await ask(pool, GOOD)
    await asyncio.gather(*(ask(pool, GOOD, number) for number in range(30)))
    await pool.close()
    assert len(world.cells[GOOD]) == 2


async def test_a_scorer_that_hangs_delays_no_other_of_its_project(pool: Pool, world: World) -> None:
    world.scripts[BAD] = hang
    hung = [asyncio.create_task(ask(pool, BAD, number)) for number in range(30)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await asyncio.gather(*(ask(pool, GOOD, number) for number in range(20)))
    assert time.monotonic() - began < 1
    assert len(world.cells[BAD]) < 3, "it has not taken every place"
    for task in hung:
        task.cancel()


async def test_who_finds_a_scorer_full_that_stands_still_is_sent_away_at_once(pool: Pool, world: World) -> None:
    world.scripts[BAD] = hang
    hung = [asyncio.create_task(ask(pool, BAD, number)) for number in range(33)]
    await asyncio.sleep(0.2)
    with pytest.raises(Transient, match="33 evaluations wait for the scorer") as sent_away:
        await ask(pool, BAD)
    assert sent_away.value.retry_after_s == 30
    for task in hung:
        task.cancel()


async def test_who_finds_a_scorer_full_that_moves_waits(pool: Pool, world: World) -> None:
    answers = await asyncio.gather(*(ask(pool, GOOD, number) for number in range(500)))
    assert answers == [Judged(1.0, reason=str(number)) for number in range(500)]


async def test_a_death_is_told_to_who_is_at_fault_and_the_next_call_has_a_fresh_sandbox(
    pool: Pool, world: World
) -> None:
    world.scripts[GOOD] = die
    assert await ask(pool, GOOD) == Died("signal 11")
    world.scripts[GOOD] = judged
    assert await ask(pool, GOOD, 7) == Judged(1.0, reason="7")
    assert [cell.alive for cell in world.cells[GOOD]] == [False, True]


async def test_who_is_not_at_fault_is_called_again_and_a_suspect_alone(pool: Pool, world: World) -> None:
    """Example 2 kills its sandbox while 0 to 3 run; from the outside any of them could have."""

    async def one_kills(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        if not any(call.example["n"] == 2 for call in batch):
            return await judged(cell, batch)
        cell.alive = False
        return [Died("exit 3")] if len(batch) == 1 else [Unfinished(suspect=True) for _ in batch]

    world.scripts[GOOD] = one_kills
    answers = await asyncio.gather(*(ask(pool, GOOD, number) for number in range(4)))
    assert answers == [Died("exit 3") if number == 2 else Judged(1.0, reason=str(number)) for number in range(4)]
    batches = [batch for cell in world.cells[GOOD] for batch in cell.batches]
    assert sorted(batches[1:]) == [[0], [1], [2], [3]]


async def test_a_call_that_never_ends_certainly_is_an_error_after_some_tries(pool: Pool, world: World) -> None:
    async def never(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        cell.alive = False
        return [Unfinished() for _ in batch]

    world.scripts[GOOD] = never
    assert await ask(pool, GOOD) == Died("its sandbox was ended 6 times")
    assert len(world.cells[GOOD]) == 6


async def test_a_time_out_ends_the_sandbox_and_not_the_scorer(pool: Pool, world: World) -> None:
    async def late(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        cell.alive = False
        return [TimedOut(30) for _ in batch]

    world.scripts[GOOD] = late
    assert await ask(pool, GOOD) == TimedOut(30)
    assert world.alive == 0


async def test_an_error_of_the_author_keeps_the_sandbox(pool: Pool, world: World) -> None:
    async def raises(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        return [Raised("KeyError: 'x'") for _ in batch]

    world.scripts[GOOD] = raises
    assert [await ask(pool, GOOD) for _ in range(2)] == [Raised("KeyError: 'x'")] * 2
    assert len(world.cells[GOOD]) == 1


async def test_idle_sandboxes_make_room_the_least_recent_first(pool: Pool, world: World) -> None:
    keys = [Key("shop", f"scorer {number}", "1") for number in range(6)]
    for key in keys:
        await ask(pool, key)
    assert world.alive <= 4
    assert [world.cells[key][0].alive for key in keys] == [False, False, True, True, True, True]


async def test_whoever_has_no_sandbox_goes_before_who_wants_more(pool: Pool, world: World) -> None:
    """Four scorers keep all places busy; a fifth comes."""
    stop = asyncio.Event()

    async def busy(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        await asyncio.sleep(0.01)
        return await judged(cell, batch)

    async def keep_busy(key: Key) -> None:
        while not stop.is_set():
            await ask(pool, key)

    keys = [Key(f"project {number}", "s", "1") for number in range(4)]
    world.scripts = dict.fromkeys(keys, busy)
    tasks = [asyncio.create_task(keep_busy(key)) for key in keys]
    await asyncio.sleep(0.1)
    assert await ask(pool, GOOD, 3) == Judged(1.0, reason="3")
    stop.set()
    await asyncio.gather(*tasks)


async def test_worn_sandboxes_are_replaced(world: World) -> None:
    pool = Pool(world.open, Terms(most_calls=2))
    for _ in range(5):
        await ask(pool, GOOD)
    await pool.close()
    assert len(world.cells[GOOD]) == 3


async def test_old_and_idle_sandboxes_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorers.hosted.pool.TIDY_EVERY_S", 0.01)
    pool = Pool(world.open, Terms(idle_s=0.02))
    await ask(pool, GOOD)
    async with asyncio.timeout(5):
        while world.alive:
            await asyncio.sleep(0.005)
    await ask(pool, GOOD)
    assert len(world.cells[GOOD]) == 2
    await pool.close()


async def test_a_scorer_that_cannot_be_made_tells_why_and_is_tried_again(pool: Pool, world: World) -> None:
    world.told = Manifest(error="ModuleNotFoundError: No module named 'numpy'")
    with pytest.raises(Permanent, match="cannot be made: ModuleNotFoundError"):
        await ask(pool, GOOD)
    world.told = MADE
    assert await ask(pool, GOOD, 1) == Judged(1.0, reason="1")


@pytest.mark.parametrize(
    ("refusal", "told"),
    [(Transient("the index does not answer"), Transient), (RuntimeError("no uid is free"), Permanent)],
)
async def test_a_sandbox_that_does_not_start_is_told_to_all_who_wait(
    pool: Pool, world: World, refusal: Exception, told: type[Exception]
) -> None:
    world.refusals = [refusal]
    answers = await asyncio.gather(*(ask(pool, GOOD, number) for number in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [told] * 3
    assert str(refusal) in str(answers[0])


async def test_a_scorer_whose_sandboxes_die_at_once_starts_ever_fewer(pool: Pool, world: World) -> None:
    world.scripts[BAD] = die
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 0.5:
        await ask(pool, BAD)
        count += 1
    assert count <= 6


async def test_what_a_batch_spent_is_shared_by_its_examples(pool: Pool, world: World) -> None:
    async def paid(cell: ScriptedCell, batch: Sequence[Call]) -> list[Answer]:
        cell.usd = 0.01 * len(batch)
        return await judged(cell, batch)

    world.scripts[GOOD] = paid
    done = await asyncio.gather(*(pool.judge(GOOD, Call({"n": number}), 5) for number in range(4)))
    assert [one.usd for one in done] == pytest.approx([0.01] * 4)


async def test_a_caller_who_leaves_does_not_stop_the_others(pool: Pool, world: World) -> None:
    first, second = (asyncio.create_task(ask(pool, GOOD, number)) for number in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == Judged(1.0, reason="2")
