"""The SDK and the bridge, each as it is: what the one sends the other takes."""

import logging
import secrets
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from vedette import Tracer

from schemas.topics import Topic
from streams import topics
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.bridge import Bridge, make_key, records, start_bridge, stop_bridge, wait_known

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bridge(kafka: str) -> Iterator[Bridge]:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"b{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=0,
        api_url=f"http://127.0.0.1:{free_port()}",
    )
    topics.create(settings)
    bridge = start_bridge(settings)
    yield bridge
    assert stop_bridge(bridge) == 0


def test_spans_and_examples_of_any_form_are_taken(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    key = make_key(bridge.settings)
    wait_known(bridge, key)
    url = f"http://127.0.0.1:{bridge.settings.otlp_http_port}"
    tracer = Tracer(project_name="Kundendienst ä", api_url=url, api_key=key, environment="p" * 300)

    @tracer.agent
    @tracer.observe
    def answer(question: str) -> str:
        tracer.set_session_id("line\nbreak" + "s" * 300)
        fields = {"surrogate": "\ud800", "nan": float("nan"), "huge": 10**400, "long": "x" * 5_000_000, "none": None}
        tracer.async_evaluate("nobody's", {**fields, "key": key, "nested": [{"a": [1.5, True]}] * 50})
        return question * 300_000

    with caplog.at_level(logging.WARNING, "vedette"):
        answer("why")
        assert tracer.shutdown(20_000)
    assert [one.message for one in caplog.records if "nobody has uploaded" not in one.message] == []
    ((example, marks),) = records(bridge.settings, Topic.EXAMPLES)
    ((spans, span_marks),) = records(bridge.settings, Topic.OTLP_SPANS)
    assert {marks["vedette-project"], span_marks["vedette-project"]} == {"Kundendienst ä".encode()}
    assert key.encode() not in example + spans
    (span,) = ExportTraceServiceRequest.FromString(spans).resource_spans[0].scope_spans[0].spans
    assert span.name.endswith("answer")


def test_a_key_that_may_not_use_the_project_is_told(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    key = make_key(bridge.settings, projects=("north",))
    wait_known(bridge, key)
    tracer = Tracer(project_name="south", api_url=f"http://127.0.0.1:{bridge.settings.otlp_http_port}", api_key=key)
    with caplog.at_level(logging.WARNING, "vedette"), tracer.span("call"):
        pass
    tracer.force_flush()
    assert "may not use the project 'south'" in caplog.text
    assert key not in caplog.text
    tracer.shutdown()
