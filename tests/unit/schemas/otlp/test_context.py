from schemas.otlp.context import inherit
from schemas.span import Span


def test_a_span_takes_session_customer_and_environment_from_the_nearest_ancestor_that_has_them() -> None:
    root = Span(span_id="1", session_id="far", customer_id="c", environment="production")
    middle = Span(span_id="2", parent_span_id="1", session_id="near")
    leaf = Span(span_id="3", parent_span_id="2", environment="own")
    assert inherit([leaf, middle, root]) == [
        Span(span_id="3", parent_span_id="2", session_id="near", customer_id="c", environment="own"),
        Span(span_id="2", parent_span_id="1", session_id="near", customer_id="c", environment="production"),
        root,
    ]


def test_the_llm_call_of_an_agent_belongs_to_its_activation() -> None:
    agent = Span(span_id="1", kind="agent", agent="Planner", agent_instance="p1", agent_id="call-1", agent_version="2")
    call = Span(span_id="2", parent_span_id="1", kind="llm")
    assert inherit([agent, call])[1] == Span(
        span_id="2",
        parent_span_id="1",
        kind="llm",
        agent="Planner",
        agent_instance="p1",
        agent_id="call-1",
        agent_version="2",
    )


def test_an_agent_inside_another_takes_nothing_of_the_outer_agent_but_its_session() -> None:
    outer = Span(span_id="1", agent="Planner", agent_instance="p1", agent_id="call-1", session_id="s")
    inner = Span(span_id="2", parent_span_id="1", agent="Researcher")
    assert inherit([outer, inner])[1] == Span(span_id="2", parent_span_id="1", agent="Researcher", session_id="s")


def test_a_second_activation_of_the_same_agent_stays_its_own() -> None:
    outer = Span(span_id="1", agent="Planner", agent_instance="p1", agent_id="call-1")
    inner = Span(span_id="2", parent_span_id="1", agent="Planner", agent_id="call-2")
    assert inherit([outer, inner])[1] == inner


def test_spans_that_are_each_others_parents_are_left_as_they_are() -> None:
    first, second = Span(span_id="1", parent_span_id="2", session_id="s"), Span(span_id="2", parent_span_id="1")
    own = Span(span_id="3", parent_span_id="3")
    assert [span.span_id for span in inherit([first, second, own])] == ["1", "2", "3"]
    assert inherit([own]) == [own]


def test_a_chain_of_twenty_thousand_spans_is_no_trouble() -> None:
    spans = [Span(span_id=str(n), parent_span_id=str(n - 1), session_id="s" if n == 0 else "") for n in range(20_000)]
    assert {span.session_id for span in inherit(spans[::-1])} == {"s"}
