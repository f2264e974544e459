"""The pool of sandboxes: calls a second against a raw pipe, and what bad neighbours cost the others."""

import asyncio
import json
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scorers.hosted.bundle import Bundle
from scorers.hosted.channel import Call, Judged
from scorers.hosted.egress import Egress
from scorers.hosted.gateway import Gateway
from scorers.hosted.index import Index
from scorers.hosted.line import Key
from scorers.hosted.pool import Pool
from scorers.hosted.rooms import Rooms
from scorers.hosted.sandbox import Limits
from scorers.hosted.turns import Terms
from scorers.providers.caller import Caller, Provider
from tests.bench.figures import told
from tests.support.beside import Beside, beside
from tests.support.hosted import builder, open_folder, tier

pytestmark = pytest.mark.bench

FIELDS = {"request": "Where is my package?", "response": "x" * 150}
SIZE, ROUNDS = 128, 150
SCORER = """
import time
from vedette.scorers import ExampleScorer

class Scorer(ExampleScorer):
    name: str = "s"

    def a_score_example(self, example):
        {body}
"""
BODIES = {
    "good": "return 1.0 if 'x' in example.response else 0.0",
    "sleeps": "time.sleep(3600)",
    "burns": "while True: pass",
    "floods": "for _ in range(100_000): print('x' * 1000)\n        return 1.0",
}
PIPE = """
import json, struct, sys
read, write = sys.stdin.buffer, sys.stdout.buffer
while head := read.read(4):
    call = json.loads(read.read(struct.unpack(">I", head)[0]))
    body = json.dumps({"value": 1.0 if "x" in call["response"] else 0.0}).encode()
    write.write(struct.pack(">I", len(body)) + body)
    write.flush()
"""


def test_calls_a_second_through_the_pool_against_a_raw_pipe() -> None:
    rounds = [(piped(), asyncio.run(pooled())) for _ in range(3)]
    goal = ">= 0.25 of a raw pipe, >= 10,000 calls/s, batches of 200-byte examples in one sandbox"
    pipe, pool = ([one[index] for one in rounds] for index in (0, 1))
    assert told("hosted calls", goal, pool, pipe, batch=SIZE) > 0


def test_what_a_scorer_that_hangs_and_one_that_floods_cost_the_others() -> None:
    for hangs in ("sleeps", "burns"):
        found = asyncio.run(neighbours(hangs, "floods"))
        goal = "< 1.10, p99 in ms of a good scorer beside one that hangs and one that floods, against alone"
        interval = [round(found.low, 2), round(found.high, 2)]
        told("hosted neighbours", goal, [1000 * found.beside], [1000 * found.alone], hangs=hangs, interval=interval)
        assert found.low < 1.1


def piped() -> float:
    """Calls a second of two processes that only frame JSON, one call at a time."""
    frame = json.dumps(FIELDS).encode()
    with subprocess.Popen([sys.executable, "-c", PIPE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        began = time.perf_counter()
        for _ in range(SIZE * ROUNDS):
            process.stdin.write(struct.pack(">I", len(frame)) + frame)
            process.stdin.flush()
            (length,) = struct.unpack(">I", process.stdout.read(4))
            assert json.loads(process.stdout.read(length)) == {"value": 1.0}
        took_s = time.perf_counter() - began
        process.stdin.close()
    return SIZE * ROUNDS / took_s


@asynccontextmanager
async def pool(terms: Terms) -> AsyncIterator[Pool]:
    """A pool in the tier that holds here, with doors."""

    def nobody(project: str, name: str) -> Provider:
        raise LookupError("no providers here")

    with open_folder() as folder:
        doors = folder / "doors"
        doors.mkdir()
        async with Caller() as caller:
            build = builder(Index("http://127.0.0.1:9/"), folder)
            rooms = Rooms(
                tier(),
                build,
                lambda key: (Bundle(SCORER.format(body=BODIES[key.scorer])), ""),
                Gateway(nobody, caller),
                Egress({}),
                doors,
                Limits(),
            )
            made = Pool(rooms.open, terms)
            try:
                yield made
            finally:
                await made.close()


async def pooled() -> float:
    """Calls a second through the pool."""
    key = Key("bench", "good", "1")
    async with pool(Terms(cells_of_one=1, batch=SIZE, calls=2000)) as made:

        async def caller(rounds: int) -> None:
            for _ in range(rounds):
                done = await made.judge(key, Call(FIELDS), 30)
                assert isinstance(done.answer, Judged)

        async def all_call(rounds: int) -> None:
            await asyncio.gather(*(caller(rounds) for _ in range(3 * SIZE)))

        await all_call(5)
        began = time.perf_counter()
        await all_call(ROUNDS // 3)
        return SIZE * ROUNDS / (time.perf_counter() - began)


async def neighbours(*bad: str) -> Beside:
    """What a good scorer's calls through the pool take, alone and beside bad ones that are asked again and again."""
    good = Key("bench", "good", "1")
    async with pool(Terms()) as made:

        async def pester(name: str) -> None:
            while True:
                await made.judge(Key("bench", name, "1"), Call(FIELDS), 3600)

        def outermost() -> list[int]:
            lines = [line for key, line in made._lines.items() if key != good]
            return [warm.opened.cell.pid for line in lines for warm in line.warm]

        pestering = [asyncio.create_task(pester(name)) for name in bad]
        await asyncio.sleep(2)
        found = await beside(lambda: made.judge(good, Call(FIELDS), 30), outermost)
        for task in pestering:
            task.cancel()
        return found
