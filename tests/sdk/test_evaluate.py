"""Examples and the scorers they ask for."""

import json
import logging

import pytest
from vedette import Example, ExampleScorer, Tracer, TraceScorerConfig

from tests.sdk.server import Server


class CustomerRequest(Example):
    request: str
    response: str


class PackageInquiryScorer(ExampleScorer):
    name: str = "Package Inquiry Scorer"
    server_hosted: bool = True


def test_an_example_stands_in_its_span_with_agent_session_and_customer(tracer: Tracer, server: Server) -> None:
    class Agent:
        @tracer.agent()
        @tracer.observe()
        def run(self) -> str:
            tracer.set_session_id("s-1")
            tracer.set_customer_id("cust-7")
            example = CustomerRequest(request="Where?", response="Here.")
            return tracer.async_evaluate(scorer=PackageInquiryScorer(), example=example, sampling_rate=0.95)

    own_id = Agent().run()
    tracer.force_flush()
    (span,) = server.spans()
    assert server.examples() == [
        {
            "id": own_id,
            "fields": {"request": "Where?", "response": "Here."},
            "scorers": ["Package Inquiry Scorer"],
            "sampling_rate": 0.95,
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "session_id": "s-1",
            "customer_id": "cust-7",
            "agent": "Agent",
            "environment": "production",
            "origin": "online",
        }
    ]


def test_outside_a_span_an_example_has_no_trace(tracer: Tracer, server: Server) -> None:
    first = tracer.async_evaluate("Mentions the parcel@3f", {"output": "x", "name": "kept"})
    second = tracer.async_evaluate(
        ["a", PackageInquiryScorer(threshold=0.7)], Example(any=[1, None, {"x": 1.5}]), model="m"
    )
    tracer.force_flush()
    one, two = server.examples()
    assert one == {"id": first, "fields": {"output": "x", "name": "kept"}, "scorers": ["Mentions the parcel@3f"], "sampling_rate": 1.0, "environment": "production", "origin": "online"}  # fmt: skip
    assert two["scorers"] == [
        {"scorer": "a", "model": "m"},
        {"scorer": "Package Inquiry Scorer", "threshold": 0.7, "model": "m"},
    ]
    assert two["fields"] == {"any": [1, None, {"x": 1.5}]}
    assert first[:13] <= second[:13], "UUIDv7 sorts by its millisecond"


def test_the_example_is_kept_as_it_was(tracer: Tracer, server: Server) -> None:
    basket = ["tea"]
    tracer.async_evaluate("s", {"basket": basket})
    basket.append("milk")
    tracer.force_flush()
    assert server.examples()[0]["fields"] == {"basket": ["tea"]}


def test_a_function_can_be_judged_by_its_input_and_output(tracer: Tracer, server: Server) -> None:
    config = TraceScorerConfig("Answers", sampling_rate=0.5, run_condition=lambda question: question != "skip")

    @tracer.observe(scorer_config=config)
    def answer(question: str) -> str:
        return question.upper()

    @tracer.observe
    def other() -> str:
        tracer.async_trace_evaluate(PackageInquiryScorer)
        return "done"

    answer("why")
    answer("skip")
    other()
    tracer.force_flush()
    one, two = server.examples()
    assert (one["scorers"], one["sampling_rate"], one["fields"]) == (
        ["Answers"],
        0.5,
        {"input": {"question": "why"}, "output": "WHY"},
    )
    assert one["span_id"] == next(span.span_id for span in server.spans() if span.attributes["vedette.output"] == "WHY")
    assert (two["scorers"], two["fields"]["output"], two["span_id"]) == (
        ["Package Inquiry Scorer"],
        "done",
        server.span("other").span_id,
    )


def test_a_condition_that_raises_judges_nothing_and_the_call_goes_on(tracer: Tracer, server: Server) -> None:
    @tracer.observe(scorer_config=TraceScorerConfig("s", run_condition=lambda: 1 / 0 > 0))
    def answer() -> int:
        return 1

    assert answer() == 1
    tracer.force_flush()
    assert (len(server.spans()), server.examples()) == (1, [])


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "half", None])
def test_a_rate_that_is_none_sends_nothing(tracer: Tracer, server: Server, rate: object) -> None:
    assert tracer.async_evaluate("s", {"a": 1}, sampling_rate=rate) == ""  # type: ignore[arg-type]
    tracer.force_flush()
    assert server.examples() == []


@pytest.mark.parametrize("example", [None, 5, "text", object()])
def test_what_is_no_example_harms_nobody(tracer: Tracer, example: object) -> None:
    assert tracer.async_evaluate("s", example) == ""  # type: ignore[arg-type]


def test_a_scorer_that_nobody_uploaded_is_told(
    tracer: Tracer, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.told = {"unknown_scorers": ["Nobody's"], "rejected": [{"index": 0, "error": "fields: too large"}]}
    with caplog.at_level(logging.WARNING, "vedette"):
        tracer.async_evaluate("Nobody's", {"a": 1})
        tracer.force_flush()
    assert "vedette upload_scorer" in caplog.text
    assert "fields: too large" in caplog.text


def test_secrets_do_not_leave(tracer: Tracer, server: Server) -> None:
    tracer.async_evaluate(
        "s", {"password": "p4ss", "headers": {"Authorization": "Bearer b4r", "X-Api-Key": "k3y"}, "tokens": 3}
    )
    tracer.force_flush()
    assert server.examples()[0]["fields"] == {
        "password": "***",
        "headers": {"Authorization": "***", "X-Api-Key": "***"},
        "tokens": 3,
    }


def test_an_example_is_a_record_of_any_fields() -> None:
    example = CustomerRequest(request="a", response="b", more={"x": 1})  # type: ignore[call-arg]
    assert example.get_fields() == {"request": "a", "response": "b", "more": {"x": 1}}
    assert json.loads(json.dumps(example.to_dict()))["example_id"] == example.example_id
    assert example.example_id != CustomerRequest(request="a", response="b").example_id
