"""Prompt scorers: verdicts a second from a local server, 32 questions at a time, against a loop that only posts the same bytes."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aiohttp
import orjson
import pytest

from schemas.net_guard import networks
from scorers.prompt import Judge, Prompt
from scorers.providers.allowance import Limits
from scorers.providers.caller import Caller, Provider
from scorers.providers.chat import Chat, Closed
from streams import observe
from streams.local.ports import free_port
from streams.settings import Settings
from tests.bench.figures import told
from tests.support.judged import example

pytestmark = pytest.mark.bench

AT_ONCE, QUESTIONS = 32, 1500
SUBJECT = example(output="Your parcel is out for delivery. " * 20, input="Where is my parcel?")
SERVER = """
import orjson, re, sys
from aiohttp import web

ID = re.compile(rb'"enum":\\["([0-9a-f]+)"')
USAGE = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}

async def answer(request):
    found = ID.search(await request.read())
    told = {"id": found[1].decode(), "reason": "it speaks of the parcel", "score": 0.75}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": orjson.dumps(told).decode()}}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": [choice], "usage": USAGE}
    return web.Response(body=orjson.dumps(body), content_type="application/json")

app = web.Application()
app.add_routes([web.post("/v1/chat/completions", answer)])
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=lambda *_: print("ready", flush=True), access_log=None)
"""


def test_verdicts_a_second_against_a_loop_that_only_posts() -> None:
    observe.configure_logs(Settings(), "bench")  # a line a call is a part of the work, as JSON
    with served() as url:
        rounds = [(asyncio.run(bare(url)), asyncio.run(judged(url))) for _ in range(3)]
    goal = ">= 0.4 of a bare aiohttp loop, 32 at once"
    loop, judges = ([one[index] for one in rounds] for index in (0, 1))
    assert told("judges", goal, judges, loop, at_once=AT_ONCE) > 0


@contextmanager
def served() -> Iterator[str]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


async def at_once(one: Callable[[], Awaitable[object]]) -> float:
    """Returns how often a second it ends, `AT_ONCE` at a time."""
    left = iter(range(QUESTIONS))

    async def worker() -> None:
        for _ in left:
            await one()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return QUESTIONS / (time.perf_counter() - began)


async def judged(url: str) -> float:
    provider = Provider("p", "openai", url, "sk", (), Limits(requests_per_minute=10_000_000, budget_usd_per_day=1000))
    async with Caller(networks(["127.0.0.0/8"])) as caller:
        slots = asyncio.Semaphore(AT_ONCE)
        chat = Chat("p", "s", "gpt-5-mini", lambda name: (provider, name), caller, Closed(), slots, AT_ONCE, 60)
        judge = Judge(Prompt(prompt="Does {{output}} answer {{input}}?"), chat, lambda: "0123456789abcdef")

        async def one() -> None:
            assert (await judge.judge(SUBJECT)).value == 0.75

        return await at_once(one)


async def bare(url: str) -> float:
    schema = {"properties": {"id": {"enum": ["0123456789abcdef"]}}}
    body = orjson.dumps({"model": "m", "messages": [{"content": "x" * 2500}], "schema": schema})
    async with aiohttp.ClientSession() as session:

        async def one() -> None:
            async with session.post(f"{url}/chat/completions", data=body) as answer:
                assert orjson.loads(await answer.read())["choices"]

        return await at_once(one)
