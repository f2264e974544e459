"""What `observe` records, and that functions of every kind stay what they are."""

import asyncio
import contextvars
import inspect
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from opentelemetry.trace import get_current_span
from vedette import Tracer

from tests.sdk.server import Server


def test_a_call_is_a_span_with_its_arguments_and_its_result(tracer: Tracer, server: Server) -> None:
    @tracer.observe(span_type="tool", span_name="look up", attributes={"shelf": 7})
    def look(what: str, *more: int, deep: bool = False) -> dict[str, str]:
        return {"found": what}

    assert look("parcel", 1, 2, deep=True) == {"found": "parcel"}
    assert tracer.force_flush()
    span = server.span("look up")
    assert json.loads(span.attributes["vedette.input"]) == {"what": "parcel", "more": [1, 2], "deep": True}
    assert json.loads(span.attributes["vedette.output"]) == {"found": "parcel"}
    assert (span.attributes["vedette.span_kind"], span.attributes["shelf"]) == ("tool", 7)
    assert span.attributes["gen_ai.operation.name"] == "execute_tool"


def test_arguments_are_kept_as_they_were_when_the_call_began(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def clear(basket: list[str]) -> list[str]:
        basket.clear()
        return basket

    basket = ["tea"]
    clear(basket).append("milk")
    tracer.force_flush()
    span = server.span("clear")
    assert json.loads(span.attributes["vedette.input"]) == {"basket": ["tea"]}
    assert json.loads(span.attributes["vedette.output"]) == []


def test_spans_nest_and_share_a_trace(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def inner() -> None: ...

    @tracer.observe
    async def outer() -> None:
        inner()
        async with asyncio.TaskGroup() as group:
            group.create_task(task())

    @tracer.observe
    async def task() -> None: ...

    asyncio.run(outer())
    tracer.force_flush()
    spans = {span.name: span for span in server.spans()}
    assert {span.trace_id for span in spans.values()} == {spans["outer"].trace_id}
    assert {spans["inner"].parent_id, spans["task"].parent_id} == {spans["outer"].span_id}
    assert spans["outer"].parent_id == ""


@pytest.mark.parametrize("kind", ["thread", "pool", "copied context", "to_thread"])
def test_threads_go_on_in_the_span_that_started_them(tracer: Tracer, server: Server, kind: str) -> None:
    @tracer.observe
    def work() -> None: ...

    @tracer.observe
    def outer() -> None:
        if kind == "thread":
            thread = threading.Thread(target=work)
        else:
            thread = threading.Thread(target=partial(contextvars.copy_context().run, work))
        thread.start()
        thread.join()

    @tracer.observe(span_name="outer")
    def pooled() -> None:
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(lambda _: work(), [0]))

    @tracer.observe(span_name="outer")
    async def aside() -> None:
        await asyncio.to_thread(work)

    {"pool": pooled, "to_thread": lambda: asyncio.run(aside())}.get(kind, outer)()
    tracer.force_flush()
    assert server.span("work").parent_id == server.span("outer").span_id


def test_a_pool_carries_nothing_from_one_piece_of_work_to_the_next(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def work() -> None: ...

    with ThreadPoolExecutor(1) as pool:
        with tracer.span("first"):
            pool.submit(work).result()
        pool.submit(work).result()
    tracer.force_flush()
    first, second = (span for span in server.spans() if span.name == "work")
    assert first.parent_id == server.span("first").span_id
    assert second.parent_id == ""


def test_an_exception_passes_and_is_on_the_span(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def fail() -> None:
        raise LookupError("no parcel 7")

    with pytest.raises(LookupError, match="no parcel 7"):
        fail()
    tracer.force_flush()
    span = server.span("fail")
    ((name, event),) = span.events
    assert (span.status, name, event["exception.type"], event["exception.message"]) == (
        2,
        "exception",
        "LookupError",
        "no parcel 7",
    )
    assert "in fail" in event["exception.stacktrace"]
    assert "vedette.output" not in span.attributes


def test_a_generator_is_one_span_from_its_first_item_to_its_end(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def inner() -> None: ...

    @tracer.observe
    def words(sentence: str) -> Iterator[str]:
        for word in sentence.split():
            inner()
            yield word

    outside = [get_current_span().get_span_context().is_valid for _ in words("it is here")]
    tracer.force_flush()
    assert outside == [False] * 3, "the consumer runs in its own context"
    assert server.span("words").attributes["vedette.output"] == "itishere"
    assert {span.parent_id for span in server.spans() if span.name == "inner"} == {server.span("words").span_id}


def test_a_generator_is_sent_thrown_at_and_closed_as_before(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def echo() -> Iterator[object]:
        given: object = None
        try:
            while True:
                try:
                    given = yield given
                except KeyError as error:
                    given = f"caught {error}"
        finally:
            closed.append(True)

    closed: list[bool] = []
    generator = echo()
    assert next(generator) is None
    assert generator.send(1) == 1  # type: ignore[attr-defined]
    assert generator.throw(KeyError("k")) == "caught 'k'"  # type: ignore[attr-defined]
    generator.close()  # type: ignore[attr-defined]
    tracer.force_flush()
    assert closed == [True]
    assert json.loads(server.span("echo").attributes["vedette.output"]) == [None, 1, "caught 'k'"]
    assert server.span("echo").status == 0


def test_a_generators_return_value_reaches_who_delegates_to_it(tracer: Tracer) -> None:
    @tracer.observe
    def counted() -> Iterator[int]:
        yield 1
        return 5

    def outer() -> Iterator[int]:
        results.append((yield from counted()))

    results: list[object] = []
    assert list(outer()) == [1]
    assert results == [5]


async def test_an_async_generator_is_one_span(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    async def words() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0)
        yield "b"

    assert [word async for word in words()] == ["a", "b"]
    early = words()
    assert await anext(early) == "a"
    await early.aclose()  # type: ignore[attr-defined]
    tracer.force_flush()
    assert [span.attributes["vedette.output"] for span in server.spans()] == ["ab", "a"]


async def test_an_async_generator_that_fails_is_failed(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    async def words() -> AsyncIterator[str]:
        yield "a"
        raise ValueError("over")

    with pytest.raises(ValueError, match="over"):
        _ = [word async for word in words()]
    tracer.force_flush()
    assert server.span("words").status == 2


async def test_a_cancelled_coroutine_ends_its_span(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    async def wait() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    tracer.force_flush()
    assert server.span("wait").attributes["error.type"].endswith("CancelledError")


def test_methods_of_every_kind(tracer: Tracer, server: Server) -> None:
    class Shop:
        @tracer.observe
        def own(self, n: int) -> int:
            return n

        @classmethod
        @tracer.observe
        def of_class(cls, n: int) -> int:
            return n

        @tracer.observe
        @staticmethod
        def plain(n: int) -> int:
            return n

        @tracer.observe
        @classmethod
        def outside_in(cls, n: int) -> str:
            return cls.__name__ * (n // n)

    shop = Shop()
    assert (shop.own(1), Shop.of_class(2), Shop.plain(3), shop.plain(n=3), Shop.outside_in(4)) == (1, 2, 3, 3, "Shop")  # type: ignore[operator]
    tracer.force_flush()
    told = [(span.name, json.loads(span.attributes["vedette.input"])) for span in server.spans()]
    assert told == [
        (f"Shop.{name}", {"n": n})
        for name, n in [("own", 1), ("of_class", 2), ("plain", 3), ("plain", 3), ("outside_in", 4)]
    ]


def test_a_decorated_function_keeps_kind_signature_and_name(tracer: Tracer) -> None:
    def plain(a: int, *, b: str = "") -> str:
        """Says."""
        return b

    async def coroutine() -> None: ...
    def generator() -> Iterator[int]:
        yield 1

    async def stream() -> AsyncIterator[int]:
        yield 1

    watched = tracer.agent()(tracer.observe()(plain))
    assert (watched.__name__, watched.__doc__, watched.__module__) == ("plain", "Says.", __name__)
    assert inspect.signature(watched) == inspect.signature(plain)
    assert inspect.iscoroutinefunction(tracer.observe(coroutine))
    assert inspect.isgeneratorfunction(tracer.observe(generator))
    assert inspect.isasyncgenfunction(tracer.agent(stream))


def test_a_block_is_a_span(tracer: Tracer, server: Server) -> None:
    with tracer.span("step", span_type="retriever", attributes={"k": 3}, input={"q": "tea"}) as span:
        span.set_output(["leaf"])
        tracer.set_attributes({"note": {"a": 1}, "list": ["x", "y"], "none": None})
        tracer.tag("vip", "new")
        tracer.tag("vip")
    tracer.force_flush()
    found = server.span("step").attributes
    assert (found["vedette.input"], found["vedette.output"], found["note"]) == ('{"q":"tea"}', '["leaf"]', '{"a":1}')
    assert (found["vedette.tags"], found["list"], found["k"]) == (["vip", "new"], ["x", "y"], 3)


def test_input_and_output_can_be_left_out_or_replaced(tracer: Tracer, server: Server) -> None:
    @tracer.observe(record_input=False, record_output=False)
    def quiet(secret: str) -> str:
        return secret

    @tracer.observe
    def told(raw: str) -> None:
        tracer.set_input("asked")

    quiet("mine")
    told("raw")
    tracer.force_flush()
    assert not {"vedette.input", "vedette.output"} & server.span("quiet").attributes.keys()
    assert server.span("told").attributes["vedette.input"] == "asked"
