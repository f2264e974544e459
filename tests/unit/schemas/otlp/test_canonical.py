from typing import Any

import orjson
import pytest

from schemas.otlp.canonical import NO_RESOURCE, Resource, canonical, resource
from schemas.otlp.raw import Attributes, RawEvent, RawSpan, Value
from schemas.span import Span

TRACE, SPAN, PARENT = "0123456789abcdef0123456789abcdef", "0123456789abcdef", "fedcba9876543210"


def raw(attributes: dict[str, Value] | None = None, **told: Any) -> RawSpan:
    known = {
        "name": "step",
        "parent_span_id": PARENT,
        "start_ns": 1_000_000,
        "end_ns": 3_500_000,
        "status": 0,
        "status_message": "",
    }
    known |= {"events": [], "scope": "", "resource": 0, **told}
    return RawSpan(trace_id=TRACE, span_id=SPAN, attributes=list((attributes or {}).items()), **known)


def span(**told: Any) -> Span:
    return Span(
        **{"span_id": SPAN, "parent_span_id": PARENT, "name": "step", "start_time": 1000, "duration_us": 2500, **told}
    )


def test_a_span_of_no_dialect_is_stored_as_it_is() -> None:
    attributes: dict[str, Value] = {"a": "x", "b": 5, "c": True, "d": 0.5, "e": None, "f": ["p", {"q": 1}]}
    attrs = {"a": "x", "b": "5", "c": "true", "d": "0.5", "e": "", "f": '["p",{"q":1}]'}
    assert canonical(raw(attributes)) == span(attrs=attrs)


def test_our_own_names_win_over_everybody_elses() -> None:
    attributes: dict[str, Value] = {
        "gen_ai.agent.name": "theirs", "judgment.agent_class_name": "Theirs", "vedette.agent": "Ours",
        "gen_ai.operation.name": "chat", "vedette.span_kind": "tool",
        "judgment.input": "their input", "vedette.input": "our input",
        "session.id": "theirs", "vedette.session_id": "ours",
        "vedette.agent_entry": True, "vedette.agent_instance": "i", "vedette.agent_id": "1", "vedette.parent_agent_id": "0",
        "vedette.customer_id": "c", "vedette.tags": ["x", "y", "x"], "vedette.output": "out", "vedette.environment": "production",
    }  # fmt: skip
    left = {k: v for k, v in attributes.items() if k not in ("vedette.input", "vedette.output")}
    assert canonical(raw(attributes)) == span(
        dialect="vedette", kind="tool", tool_name="step", operation="chat", agent="Ours", agent_instance="i", agent_id="1",
        parent_agent_id="0", agent_entry=True, session_id="ours", customer_id="c", tags=("x", "y"), environment="production",
        input="our input", output="out",
        attrs={k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in left.items()},
    )  # fmt: skip


def test_the_standards_agent_comes_before_a_vendors_and_a_vendors_input_before_the_standards() -> None:
    made = canonical(
        raw({
            "judgment.agent_class_name": "Vendor", "gen_ai.agent.name": "standard",
            "gen_ai.input.messages": "[]", "judgment.input": "{}",
        })
    )  # fmt: skip
    assert (made.agent, made.input, made.attrs["gen_ai.input.messages"]) == ("standard", "{}", "[]")
    assert "judgment.input" not in made.attrs


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "embeddings"}, "retriever"),
        ({"gen_ai.operation.name": "rerank"}, "retriever"),
        ({"gen_ai.operation.name": "invoke_workflow"}, "chain"),
        ({"gen_ai.operation.name": "create_memory"}, "other"),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.request.model": "m"}, "tool"),
        ({"gen_ai.tool.name": "t"}, "tool"),
        ({"gen_ai.tool.name": ""}, "other"),
        ({"gen_ai.request.model": "m"}, "llm"),
        ({"judgment.span_kind": "span", "gen_ai.request.model": "m"}, "llm"),
        ({"judgment.span_kind": "function", "gen_ai.request.model": "m"}, "chain"),
        ({"judgment.span_kind": "LLM"}, "llm"),
        ({"judgment.span_kind": "guardrail"}, "other"),
    ],
)
def test_kinds(attributes: dict[str, Value], kind: str) -> None:
    assert canonical(raw(attributes)).kind == kind


def test_judgeval_1_counts_input_without_the_cache() -> None:
    attributes: dict[str, Value] = {
        "judgment.span_kind": "llm", "judgment.session_id": "s", "judgment.customer_user_id": "u", "judgment.update_id": 2,
        "judgment.usage.non_cached_input_tokens": 10, "judgment.usage.cache_read_input_tokens": 5,
        "judgment.usage.cache_creation_input_tokens": 3, "judgment.usage.output_tokens": 4, "judgment.usage.total_cost_usd": "0.25",
        "judgment.llm.model": "m", "judgment.llm.provider": "Anthropic", "judgment.output": 3,
    }  # fmt: skip
    assert canonical(raw(attributes)) == span(
        dialect="judgeval", kind="llm", session_id="s", customer_id="u", revision=2, input_tokens=18, cached_input_tokens=5,
        cache_write_input_tokens=3, output_tokens=4, cost_usd=0.25, cost_source="span", model="m", provider="anthropic",
        output="3", attrs={k: v if isinstance(v, str) else str(v) for k, v in attributes.items() if k != "judgment.output"},
    )  # fmt: skip


def test_judgeval_1_names_agents_by_their_span() -> None:
    made = canonical(raw({"judgment.span_kind": "agent"}, name="customer_service_agent"))
    assert (made.agent, made.agent_entry) == ("customer_service_agent", True)


@pytest.mark.parametrize("kind", ["agent", "chain", "tool", "other"])
def test_totals_of_what_is_no_call_to_a_model_stay_in_the_attributes(kind: str) -> None:
    attributes: dict[str, Value] = {
        "vedette.span_kind": kind, "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4, "gen_ai.usage.cost": 0.5,
    }  # fmt: skip
    made = canonical(raw(attributes))
    assert (made.kind, made.input_tokens, made.output_tokens, made.cost_usd, made.cost_source) == (
        kind,
        None,
        None,
        None,
        "",
    )
    assert (made.attrs["gen_ai.usage.input_tokens"], made.attrs["gen_ai.usage.cost"]) == ("10", "0.5")


@pytest.mark.parametrize(
    ("usage", "cost_usd", "source"),
    [
        ({"gen_ai.usage.cost": 0.5}, 0.5, "span"),
        ({"gen_ai.usage.cost": 0}, 0.0, "span"),
        ({}, (1000 * 0.15 + 100 * 0.6) * 1e-6, "priced"),
        ({"gen_ai.response.model": "our-own-model"}, None, ""),
    ],
)
def test_a_cost_is_the_one_that_was_sent_else_the_list_price(
    usage: dict[str, Value], cost_usd: float | None, source: str
) -> None:
    known: dict[str, Value] = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
    }  # fmt: skip
    made = canonical(raw({**known, **usage}, start_ns=1_795_399_605_000_000_000, end_ns=1_795_399_606_000_000_000))
    assert (made.cost_usd, made.cost_source) == (cost_usd if cost_usd is None else pytest.approx(cost_usd), source)


@pytest.mark.parametrize(
    ("cached", "written", "reasoning", "total"),
    [(60, 40, 20, (100, 20)), (61, 40, 20, (201, 20)), (500, 0, 0, (600, 20)), (0, 0, 21, (100, 41))],
)
def test_a_part_that_is_more_than_the_whole_was_left_out_of_it(
    cached: int, written: int, reasoning: int, total: tuple[int, int]
) -> None:
    """Instrumentations that hand on what Anthropic says: its input tokens leave out those of the cache."""
    made = canonical(raw({
        "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": cached, "gen_ai.usage.cache_creation.input_tokens": written,
        "gen_ai.usage.reasoning.output_tokens": reasoning,
    }))  # fmt: skip
    assert (made.input_tokens, made.output_tokens) == total


def test_an_agent_that_is_only_made_is_not_entered() -> None:
    made = canonical(raw({"gen_ai.operation.name": "create_agent", "gen_ai.agent.name": "a"}))
    assert (made.kind, made.agent, made.agent_entry) == ("agent", "a", False)


@pytest.mark.parametrize(("end_ns", "partial"), [(0, True), (1_000_000, True), (1_000_001, False)])
def test_an_update_is_partial_until_it_has_an_end(end_ns: int, partial: bool) -> None:
    made = canonical(raw({"judgment.update_id": 3}, end_ns=end_ns))
    assert (made.partial, made.revision) == (partial, 3)


def test_a_span_without_duration_that_is_no_update_is_final() -> None:
    assert not canonical(raw(end_ns=1_000_000)).partial


@pytest.mark.parametrize(("true_parent", "parent"), [("00f0000000000001", "00f0000000000001"), ("0" * 16, "")])
def test_logfires_placeholder_stands_for_the_span_that_it_names_as_parent(true_parent: str, parent: str) -> None:
    attributes: dict[str, Value] = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": true_parent}
    made = canonical(raw(attributes, end_ns=1_000_000))
    assert (made.span_id, made.parent_span_id, made.partial, made.dialect) == (PARENT, parent, True, "logfire")


def test_message_events_become_input_and_output_and_leave_the_events() -> None:
    events = [
        RawEvent("gen_ai.system.message", 1, [("gen_ai.system", "openai"), ("content", "be kind")]),
        RawEvent("gen_ai.user.message", 2, [("content", "hello")]),
        RawEvent("something", 3_000, [("a", 1)]),
        RawEvent("gen_ai.choice", 4, [("index", 0), ("message", {"content": "hi"})]),
    ]
    made = canonical(raw({"gen_ai.operation.name": "chat"}, events=events))
    assert made.input == '[{"role":"system","content":"be kind"},{"role":"user","content":"hello"}]'
    assert made.output == '[{"role":"assistant","index":0,"message":{"content":"hi"}}]'
    assert made.events == '[{"name":"something","time":3,"attributes":{"a":1}}]'


def test_the_details_event_supplies_the_content_that_the_span_does_not_have() -> None:
    details: Attributes = [("gen_ai.input.messages", [{"role": "user"}]), ("gen_ai.output.messages", "[]"), ("x", "y")]
    made = canonical(
        raw(
            {"gen_ai.output.messages": "own"},
            events=[RawEvent("gen_ai.client.inference.operation.details", 0, details)],
        )
    )
    assert (made.input, made.output, made.attrs) == ('[{"role":"user"}]', "own", {})
    event = {"gen_ai.output.messages": "[]", "x": "y"}
    assert orjson.loads(made.events) == [
        {"name": "gen_ai.client.inference.operation.details", "time": 0, "attributes": event}
    ]


@pytest.mark.parametrize(
    ("status", "message", "attributes", "exception", "expected"),
    [
        (1, "", {}, None, ("ok", "")),
        (2, "said", {"error.type": "T"}, [("exception.message", "m")], ("error", "said")),
        (2, "", {"error.type": "T"}, [("exception.message", "m")], ("error", "m")),
        (2, "", {"error.type": "T"}, None, ("error", "T")),
        (0, "", {"error.type": "T"}, None, ("error", "T")),
        (0, "", {}, [("exception.message", "handled")], ("unset", "")),
        (0, "", {"judgment.span_kind": "llm"}, [("exception.type", "E")], ("error", "E")),
        (7, "", {}, None, ("unset", "")),
    ],
)
def test_status(
    status: int, message: str, attributes: dict[str, Value], exception: Attributes | None, expected: tuple[str, str]
) -> None:
    events = [] if exception is None else [RawEvent("exception", 0, exception)]
    made = canonical(raw(attributes, status=status, status_message=message, events=events))
    assert (made.status, made.status_message) == expected


@pytest.mark.parametrize("tokens", [-1, 2**53, True, "many", 1.5, None, "9" * 30])
def test_a_count_that_is_none_is_left_out(tokens: Value) -> None:
    assert canonical(raw({"gen_ai.usage.input_tokens": tokens})).input_tokens is None


@pytest.mark.parametrize(
    ("tags", "labels"),
    [(["a", "b", "a", ""], ("a", "b")), ('["a","b"]', ("a", "b")), ("a, b", ("a", "b")), ("", ()), (5, ()), ([1], ()), ("[", ("[",))],
)  # fmt: skip
def test_tags(tags: Value, labels: tuple[str, ...]) -> None:
    assert canonical(raw({"tag.tags": tags})).tags == labels


def test_service_and_environment_come_from_the_resource_unless_the_span_tells() -> None:
    within = resource(
        [("service.name", "svc"), ("deployment.environment", "old"), ("deployment.environment.name", "production")]
    )
    assert within == Resource(
        {"service.name": "svc", "deployment.environment": "old", "deployment.environment.name": "production"},
        "svc",
        "production",
    )
    assert canonical(raw(), within, 3) == span(service="svc", environment="production", resource=3)
    assert canonical(raw({"deployment.environment": "staging"}), within).environment == "staging"


def test_secrets_are_masked_wherever_they_stand() -> None:
    key = "sk-ant-api03-abcdefghijklmnop"
    made = canonical(
        raw(
            {"gen_ai.prompt": key, "gen_ai.completion": f"it is {key}", "http.request.header.authorization": "anything", "note": key,
             "session.id": key, "tag.tags": [key]},
            name=f"call {key}", status=2, status_message=f"no {key}",
            events=[RawEvent("e", 0, [("k", key), ("db.password", "hunter2")])],
        )
    )  # fmt: skip
    assert key not in made.model_dump_json()
    assert "hunter2" not in made.events
    assert (made.input, made.output, made.session_id, made.tags) == ("***", "it is ***", "***", ("***",))
    assert made.attrs["http.request.header.authorization"] == "***"
    assert resource([("token", "t"), ("x", key)]) == Resource({"token": "***", "x": "***"}, "", "")


def test_long_texts_are_cut_and_named() -> None:
    long = "x" * 10_000
    made = canonical(
        raw({"gen_ai.prompt": long, "gen_ai.completion": "short", "big": long, "session.id": long}, name=long),
        limit=2000,
    )
    assert made.cut == ("name", "session_id", "input", "attrs.big", "attrs.session.id")
    assert [len(t.encode()) for t in (made.name, made.session_id, made.input or "", made.attrs["big"])] == [
        512,
        512,
        2000,
        2000,
    ]
    assert made.output == "short"


def test_attributes_beyond_the_room_of_four_texts_are_left_out() -> None:
    made = canonical(raw({f"k{n}": "x" * 900 for n in range(20)}), limit=1000)
    assert list(made.attrs) == ["k0", "k1", "k2", "k3"]
    assert made.cut == ("attrs",)


def test_no_resource_says_nothing() -> None:
    assert resource([]) == NO_RESOURCE
