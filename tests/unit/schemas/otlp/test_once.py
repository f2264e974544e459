from typing import Any

import pytest

from schemas.otlp.once import once
from schemas.span import Span


def span(span_id: str, parent: str = "", **told: Any) -> Span:
    return Span(span_id=span_id, parent_span_id=parent, **told)


def call(span_id: str, parent: str = "", **told: Any) -> Span:
    known = {
        "kind": "llm",
        "model": "m",
        "input_tokens": 10,
        "output_tokens": 2,
        "cost_usd": 0.5,
        "cost_source": "span",
    }
    return span(span_id, parent, **{**known, **told})


def counted(spans: list[Span], clients: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    kept = once(spans, clients)
    assert [s.span_id for s in kept] == [s.span_id for s in spans]
    for made in kept:
        usage = {made.input_tokens, made.output_tokens, made.cached_input_tokens, made.reasoning_output_tokens}
        assert made.input_tokens is not None or (usage, made.cost_usd, made.cost_source) == ({None}, None, "")
    return [s.span_id for s in kept if s.input_tokens is not None]


def test_calls_beside_each_other_all_count() -> None:
    assert counted([span("root", kind="agent"), call("a", "root"), call("b", "root")]) == ["a", "b"]


def test_of_nested_reports_the_innermost_counts() -> None:
    """LangChain's chat model above the client's call, with a chain between."""
    spans = [
        call("outer", "root"),
        span("chain", "outer", kind="chain"),
        call("inner", "chain"),
        span("root", kind="agent"),
    ]
    assert counted(spans) == ["inner"]


def test_of_three_reports_inside_each_other_one_counts() -> None:
    assert counted([call("a"), call("b", "a"), call("c", "b")]) == ["c"]


@pytest.mark.parametrize("between", ["agent", "tool"])
def test_a_call_that_a_tool_or_another_agent_makes_inside_a_call_is_another_call(between: str) -> None:
    assert counted([call("outer"), span("step", "outer", kind=between), call("inner", "step")]) == ["outer", "inner"]


def test_an_embedding_inside_a_call_is_another_call() -> None:
    assert counted([call("outer"), call("inner", "outer", kind="retriever")]) == ["outer", "inner"]


def test_an_inner_report_that_does_not_know_the_input_leaves_the_outer_one_its_count() -> None:
    spans = [call("outer"), call("inner", "outer", input_tokens=None, output_tokens=1)]
    assert [s.input_tokens for s in once(spans)] == [10, None]


def test_two_reports_with_one_response_id_count_once() -> None:
    spans = [call("a", attrs={"gen_ai.response.id": "r1"}), call("b", attrs={"gen_ai.response.id": "r1"})]
    assert counted(spans) == ["a"]
    assert counted([spans[0], call("b", attrs={"gen_ai.response.id": "r2"})]) == ["a", "b"]


def test_a_providers_own_client_counts_only_what_nobody_else_reports() -> None:
    same = {"gen_ai.response.id": "r1"}
    spans = [call("client", "root", attrs=same), call("told", "root", attrs=same), span("root")]
    assert counted(spans, {"client"}) == ["told"]
    assert counted([call("client", "root"), span("root")], {"client"}) == ["client"]


def test_what_the_client_counted_is_told_by_the_span_that_has_the_content() -> None:
    """OpenLLMetry counts one output token too many in Anthropic's streams."""
    same = {"gen_ai.response.id": "r1"}
    client = call("client", output_tokens=17, cost_usd=0.25, cost_source="priced", attrs=same)
    kept = once([client, call("told", output_tokens=18, cost_usd=0.5, attrs=same)], {"client"})
    assert [(s.output_tokens, s.cost_usd, s.cost_source) for s in kept] == [(None, None, ""), (17, 0.25, "priced")]


@pytest.mark.parametrize("output_tokens", [2, None])
def test_a_cost_that_was_sent_stays_where_the_client_knows_no_better(output_tokens: int | None) -> None:
    same = {"gen_ai.response.id": "r1"}
    client = call("client", output_tokens=output_tokens, cost_usd=0.25, cost_source="priced", attrs=same)
    kept = once([client, call("told", attrs=same)], {"client"})
    assert [(s.output_tokens, s.cost_usd) for s in kept] == [(None, None), (2, 0.5)]


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({}, ["told"]),
        ({"model": "another"}, ["client", "told"]),
        ({"input_tokens": 11}, ["client", "told"]),
        ({"start_time": 101}, ["client", "told"]),
        ({"duration_us": 10}, ["client", "told"]),
    ],
)
def test_without_response_ids_a_client_repeats_the_same_call_around_it(told: dict[str, Any], kept: list[str]) -> None:
    """Two neighbours below one parent, as OpenLLMetry and Anthropic's client write them."""
    around = call("told", "root", **{"start_time": 100, "duration_us": 50, **told})
    client = call("client", "root", start_time=100, duration_us=40)
    assert counted([client, around, span("root")], {"client"}) == kept


def test_parents_in_a_circle_end_the_search() -> None:
    assert len(once([call("a", "b"), call("b", "a")])) == 2
