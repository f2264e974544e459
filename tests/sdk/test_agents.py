"""Whose work a span is: agents, sessions, customers, across tasks, tracers and processes."""

import asyncio
import json

import pytest
from opentelemetry.sdk.trace import TracerProvider
from vedette import Tracer

from tests.sdk.server import KEY, Server, Span, serving


def _agents(tracer: Tracer) -> object:
    class Task:
        def __init__(self, name: str) -> None:
            self.id = name

        @tracer.agent(identifier="id")
        @tracer.observe()
        def invoke(self, goal: str) -> str:
            with tracer.span("think"):
                return goal

    class Planning:
        def __init__(self, name: str) -> None:
            self.id = name

        @tracer.agent(identifier="id", version="7")
        @tracer.observe()
        def invoke(self, goal: str) -> str:
            self.tool()
            return Task("tasker-1").invoke(goal)

        @tracer.observe(span_type="tool")
        def tool(self) -> None: ...

    return Planning("planner-1").invoke("a multi-agent system")


def test_each_agents_spans_name_it_and_its_activation(tracer: Tracer, server: Server) -> None:
    _agents(tracer)
    tracer.force_flush()
    spans = {span.name.rpartition("<locals>.")[2]: span.attributes for span in server.spans()}
    planning, tool, task, think = (spans[name] for name in ("Planning.invoke", "Planning.tool", "Task.invoke", "think"))
    assert [one["vedette.agent"] for one in (planning, tool, task, think)] == ["Planning", "Planning", "Task", "Task"]
    kinds = [one["vedette.span_kind"] for one in (planning, tool, task, think)]
    assert kinds == ["agent", "tool", "agent", "span"], "an entry point without a type of its own is the agent's"
    assert [one["gen_ai.agent.name"] for one in (tool, think)] == ["Planning", "Task"]
    assert (tool["vedette.agent_id"], think["vedette.agent_id"]) == (
        planning["vedette.agent_id"],
        task["vedette.agent_id"],
    )
    assert task["vedette.parent_agent_id"] == planning["vedette.agent_id"] != task["vedette.agent_id"]
    assert "vedette.parent_agent_id" not in planning
    assert (planning["vedette.agent_instance"], think["vedette.agent_instance"]) == ("planner-1", "tasker-1")
    assert (planning["vedette.agent_version"], "vedette.agent_version" in task) == ("7", False)
    assert [name for name, told in spans.items() if told.get("vedette.agent_entry")] == [
        "Task.invoke",
        "Planning.invoke",
    ]


def test_each_call_is_an_activation_of_its_own(tracer: Tracer, server: Server) -> None:
    _agents(tracer)
    _agents(tracer)
    tracer.force_flush()
    assert len({span.attributes["vedette.agent_id"] for span in server.spans()}) == 4


def test_an_agent_that_is_not_observed_gets_its_span_anyway(tracer: Tracer, server: Server) -> None:
    @tracer.agent
    async def helper(n: int) -> int:
        return n

    assert asyncio.run(helper(3)) == 3
    tracer.force_flush()
    span = server.span("helper").attributes
    assert (span["vedette.agent"], span["vedette.span_kind"], span["vedette.agent_entry"]) == ("helper", "agent", True)


def test_state_before_and_after(tracer: Tracer, server: Server) -> None:
    class Cart:
        def __init__(self) -> None:
            self.items = 0
            self.api_key = "k"
            self._hidden = 1

        @tracer.agent(track_state=True)
        @tracer.observe()
        def add(self) -> None:
            self.items += 1

        @tracer.agent(track_attributes=["items"], field_mappings={"items": "pieces"})
        @tracer.observe()
        def add_two(self) -> None:
            self.items += 2

    cart = Cart()
    cart.add()
    cart.add_two()
    tracer.force_flush()
    states = [(json.loads(span.attributes["vedette.state_before"]), json.loads(span.attributes["vedette.state_after"])) for span in server.spans()]  # fmt: skip
    assert states == [({"items": 0, "api_key": "***"}, {"items": 1, "api_key": "***"}), ({"pieces": 1}, {"pieces": 3})]


def test_an_identifier_that_is_not_there_harms_nobody(tracer: Tracer, server: Server) -> None:
    class Nameless:
        @tracer.agent(identifier="missing")
        @tracer.observe()
        def run(self) -> int:
            return 1

    assert Nameless().run() == 1
    tracer.force_flush()
    (span,) = server.spans()
    assert "vedette.agent_instance" not in span.attributes


def test_session_customer_and_environment_stand_on_every_span_of_the_trace(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    def outer() -> None:
        inner()
        later()

    @tracer.observe
    def inner() -> None:
        tracer.set_session_id("session\n1")
        tracer.set_customer_id("cust-7")

    @tracer.observe
    def later() -> None: ...

    outer()
    later()
    tracer.force_flush()
    *told, alone = server.spans()
    for span in told:
        assert (span.attributes["vedette.session_id"], span.attributes["vedette.customer_id"]) == (
            "session 1",
            "cust-7",
        )
    assert len(told) == 3
    assert "vedette.session_id" not in alone.attributes
    assert {span.attributes["vedette.environment"] for span in (*told, alone)} == {"production"}


async def test_tasks_of_two_customers_do_not_mix(tracer: Tracer, server: Server) -> None:
    @tracer.observe
    async def serve(customer: str) -> None:
        tracer.set_customer_id(customer)
        await asyncio.sleep(0)
        with tracer.span(f"for {customer}"):
            await asyncio.sleep(0)

    await asyncio.gather(*(serve(f"c{n}") for n in range(20)))
    tracer.force_flush()
    told = {span.name: span.attributes["vedette.customer_id"] for span in server.spans() if span.name != "serve"}
    assert told == {f"for c{n}": f"c{n}" for n in range(20)}


def test_a_session_can_be_named_before_the_first_span(tracer: Tracer, server: Server) -> None:
    import contextvars

    def program() -> None:
        tracer.set_session_id("s-9")
        with tracer.span("first"):
            pass
        with tracer.span("second"):
            pass

    contextvars.copy_context().run(program)
    tracer.force_flush()
    assert [span.attributes["vedette.session_id"] for span in server.spans()] == ["s-9", "s-9"]


def test_a_trace_goes_on_in_another_process_with_agent_session_and_customer(tracer: Tracer, server: Server) -> None:
    class Caller:
        @tracer.agent()
        @tracer.observe()
        def call(self) -> dict[str, str]:
            tracer.set_session_id("sitzung ä,1")
            tracer.set_customer_id("cust-7")
            return dict(tracer.inject())

    headers = Caller().call()
    other = Tracer(project_name="other", api_url=server.url, api_key=KEY)
    with other.continue_trace({name.title(): value for name, value in headers.items()}):
        with other.span("remote"):
            pass

        class Callee:
            @other.agent()
            @other.observe()
            def answer(self) -> None: ...

        Callee().answer()
    with other.span("unrelated"):
        pass
    tracer.force_flush()
    other.shutdown()
    caller, remote, unrelated = (
        server.span(name) for name in (f"{Caller.__qualname__.rpartition('<locals>.')[2]}.call", "remote", "unrelated")
    )
    callee = server.span("Callee.answer")
    assert (remote.trace_id, remote.parent_id) == (caller.trace_id, caller.span_id)
    same = ("vedette.session_id", "vedette.customer_id", "vedette.agent", "vedette.agent_id")
    assert [remote.attributes[name] for name in same] == [caller.attributes[name] for name in same]
    assert callee.attributes["vedette.parent_agent_id"] == caller.attributes["vedette.agent_id"]
    assert "vedette.agent_entry" not in remote.attributes
    assert unrelated.trace_id != caller.trace_id


@pytest.mark.parametrize("headers", [{}, {"traceparent": "00-zz"}, {"baggage": "=,;;%%%", "traceparent": "x" * 10_000}])
def test_headers_of_strangers_start_a_trace(tracer: Tracer, server: Server, headers: dict[str, str]) -> None:
    with tracer.continue_trace(headers), tracer.span("first"):
        pass
    tracer.force_flush()
    assert server.span("first").parent_id == ""


def test_tracers_live_side_by_side_and_each_gets_the_spans_it_started(tracer: Tracer, server: Server) -> None:
    with serving() as there:
        other = Tracer(project_name="billing", api_url=there.url, api_key=KEY, environment="test")

        @tracer.observe
        def shop() -> None:
            tracer.set_customer_id("cust-7")
            bill()

        @other.observe
        def bill() -> None: ...

        shop()
        assert tracer.force_flush()
        assert other.shutdown()
        assert [span.name for span in server.spans()] == ["shop"]
        (billed,) = there.spans()
        assert (billed.name, billed.parent_id) == ("bill", server.span("shop").span_id)
        assert (billed.attributes["vedette.environment"], billed.attributes["vedette.customer_id"]) == (
            "test",
            "cust-7",
        )
        assert billed.resource["service.name"] == "billing"
        assert {one.headers["x-vedette-project"] for one in there.requests} == {"billing"}


def test_spans_that_others_start_get_the_context_too(tracer: Tracer, server: Server) -> None:
    from vedette.provider import Processor

    provider = TracerProvider()
    provider.add_span_processor(Processor(tracer.core))
    library = provider.get_tracer("a library")

    class Agent:
        @tracer.agent()
        @tracer.observe()
        def run(self) -> None:
            tracer.set_session_id("s-1")
            with library.start_as_current_span("GET"), tracer.span("below"):
                pass

    Agent().run()
    tracer.force_flush()
    get = server.span("GET")
    assert [get.attributes[f"vedette.{name}"] for name in ("agent", "session_id", "environment")] == [
        "Agent",
        "s-1",
        "production",
    ]
    assert (get.parent_id, server.span("below").parent_id) == (server.span("Agent.run").span_id, get.span_id)


def test_names_are_told_by_the_class_that_runs(tracer: Tracer, server: Server) -> None:
    class Base:
        @tracer.agent()
        @tracer.observe()
        def run(self) -> None: ...

    class Special(Base): ...

    Special().run()
    tracer.force_flush()
    spans: list[Span] = server.spans()
    assert spans[0].attributes["vedette.agent"] == "Special"
