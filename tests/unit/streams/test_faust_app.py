"""The acks of Faust's events: after everything that an event caused, in offset order, without waiting in the body."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from faust.types import TP, EventT

from schemas.codec import encode
from schemas.example import Example
from schemas.topics import Topic
from sinks.sink import Transient
from streams.faust_acks import RESTART, Acks
from streams.faust_app import FaustJob, raw
from streams.records import Out, Received
from streams.settings import Settings


@dataclass
class Message:
    """Of a fake event."""

    tp: TP
    offset: int
    key: bytes | None = b"k"
    value: bytes | None = b""
    headers: Any = None
    timestamp: float = 1.234

    @property
    def topic(self) -> str:
        return self.tp.topic

    @property
    def partition(self) -> int:
        return self.tp.partition


@dataclass
class Event:
    """An event that notes its ack."""

    message: Message
    acked: list[tuple[int, int]] = field(default_factory=list)

    def ack(self) -> bool:
        self.acked.append((self.message.partition, self.message.offset))
        return True


@pytest.fixture
def acked() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def event(acked: list[tuple[int, int]]) -> Callable[[int, int], EventT]:
    return lambda partition, offset: cast("EventT", Event(Message(TP("t", partition), offset), acked))


def future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_an_event_is_acked_when_all_that_it_caused_is_acknowledged(
    event: Callable[[int, int], EventT], acked: list[tuple[int, int]]
) -> None:
    acks, changelog, alert = Acks(), future(), future()
    acks.when(await acks.start(event(0, 5)), [changelog, alert])
    await settle()
    assert acked == []  # and yet the body went on
    alert.set_result(None)
    await settle()
    assert acked == []
    changelog.set_result(None)
    await settle()
    assert (acked, acks.finished) == ([(0, 5)], 1)


async def test_acks_never_pass_an_event_in_flight_and_partitions_do_not_wait_for_each_other(
    event: Callable[[int, int], EventT], acked: list[tuple[int, int]]
) -> None:
    acks, slow = Acks(), future()
    acks.when(await acks.start(event(0, 1)), [slow])
    acks.when(await acks.start(event(0, 2)), [])
    acks.when(await acks.start(event(1, 7)), [])
    assert acked == [(1, 7)]
    slow.set_result(None)
    await settle()
    assert acked == [(1, 7), (0, 1), (0, 2)]


async def test_a_future_that_was_done_before_counts_once(
    event: Callable[[int, int], EventT], acked: list[tuple[int, int]]
) -> None:
    acks, done = Acks(), future()
    done.set_result(None)
    acks.when(await acks.start(event(0, 1)), [done, done])
    await settle()
    assert acked == [(0, 1)]


async def test_while_too_many_are_in_flight_nothing_new_begins(
    event: Callable[[int, int], EventT], acked: list[tuple[int, int]]
) -> None:
    acks, first = Acks(most=2), future()
    acks.when(await acks.start(event(0, 1)), [first])
    entry = await acks.start(event(0, 2))
    third = asyncio.ensure_future(acks.start(event(0, 3)))
    await settle()
    assert not third.done()
    acks.when(entry, [])  # finished, though not acked: offset 1 is still in flight
    await settle()
    assert (third.done(), acked) == (True, [])


async def test_what_was_revoked_never_holds_back_the_partition_when_it_comes_back(
    event: Callable[[int, int], EventT], acked: list[tuple[int, int]]
) -> None:
    acks, lost = Acks(most=2), future()
    acks.when(await acks.start(event(0, 1)), [lost])
    acks.forget([TP("t", 0)])
    acks.when(await acks.start(event(0, 1)), [])
    assert acked == [(0, 1)]
    lost.set_result(None)
    await settle()
    assert acked == [(0, 1), (0, 1)]
    await asyncio.wait_for(asyncio.gather(acks.start(event(0, 2)), acks.start(event(0, 3))), 1)  # the room is back


@pytest.mark.parametrize("how", [lambda f: f.cancel(), lambda f: f.set_exception(OSError("refused"))])
async def test_a_record_that_was_not_acknowledged_ends_the_process(
    how: Callable[["asyncio.Future[None]"], object],
    event: Callable[[int, int], EventT],
    acked: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends: list[int] = []
    monkeypatch.setattr("os._exit", ends.append)
    acks, alert = Acks(), future()
    entry = await acks.start(event(0, 1))
    acks.when(entry, [alert, future()])
    how(alert)
    await settle()
    assert (ends, acked) == ([RESTART], [])


# --- what a record causes -----------------------------------------------------------------------------------------


def job(**further: object) -> FaustJob:
    return FaustJob("test", Settings.model_validate(further), {Topic.EXAMPLES: Example}, ())


def read(value: bytes) -> Received:
    message = Message(TP("vedette.examples", 1), 9, value=value, headers=[("vedette-project", b"p"), ("empty", None)])
    return raw(Topic.EXAMPLES, cast("EventT", Event(message)))


def always(outs: list[Out]) -> Callable[[Received], Awaitable[list[Out]]]:
    async def handle(_: Received) -> list[Out]:
        return outs

    return handle


async def test_garbage_and_what_its_handler_refuses_become_dead_letters_with_their_reason() -> None:
    async def refuse(_: Received) -> list[Out]:
        raise LookupError("unheard of")

    example = encode(Example(project="p", example_id="e", fields=b"{}"))
    (garbage,) = await job().outcome(read(b"garbage"), refuse)
    (refused,) = await job().outcome(read(example), refuse)
    assert (garbage.topic, garbage.key, garbage.value) == (Topic.DLQ, b"k", b"garbage")
    assert dict(refused.headers) == {
        "vedette-project": b"p",
        "empty": b"",
        "vedette-ingested-at": b"1234",
        "vedette-error-class": b"LookupError",
        "vedette-error-message": b"unheard of",
        "vedette-error-job": b"test",
        "vedette-error-topic": b"vedette.examples",
        "vedette-error-partition": b"1",
        "vedette-error-offset": b"9",
    }


async def test_what_cannot_be_written_is_a_dead_letter_before_anything_is_sent() -> None:
    example = Example(project="p", example_id="e", fields=b"{}")
    large = Example(project="p", example_id="e", fields=bytes(17 << 20))
    odd = Example.model_construct(project="p", example_id="e", fields="no bytes")
    for cannot in (large, odd):
        outs = [Out(Topic.SCORES, b"k", example), Out(Topic.SCORES, b"k", cannot)]
        (out,) = await job().outcome(read(encode(example)), always(outs))
        assert (out.topic, out.value) == (Topic.DLQ, encode(example))
    (fine,) = await job().outcome(read(encode(example)), always([Out(Topic.SCORES, b"k", example)]))
    assert fine == Out(Topic.SCORES, b"k", encode(example))


async def test_a_transient_failure_is_tried_again_until_it_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("asyncio.sleep", _noting(pauses))
    left = [Transient("away")] * 8

    async def hesitate(_: Received) -> list[Out]:
        if left:
            raise left.pop()
        return []

    assert await job().outcome(read(encode(Example(project="p", example_id="e", fields=b"{}"))), hesitate) == []
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def _noting(pauses: list[float]) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return sleep


async def test_too_much_in_a_row_that_cannot_be_read_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr("os._exit", ends.append)
    stopping = job(dlq_limit=3)
    good = encode(Example(project="p", example_id="e", fields=b"{}"))
    for value in (b"bad", b"bad", good, b"bad", b"bad"):
        await stopping.outcome(read(value), always([]))
    assert ends == []
    await stopping.outcome(read(b"bad"), always([]))
    assert ends == [1]
