"""Spans and the log events that tell their content, through the normaliser and the join as processes on a real Kafka.

The recordings are of an application with opentelemetry-instrumentation-openai-v2: two calls to a model inside one span of its own.
"""

import random
import time
from pathlib import Path

import orjson
import pytest

from schemas.contents import SpanContents
from schemas.ids import record_key
from schemas.otlp.decode import decode
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from tests.support.contents import answered, asked, span_id, told, waiting
from tests.support.jobs import Installation, Job

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[1] / "fixtures/otlp/opentelemetry-instrumentation-openai-v2-2.4b0"
CALLS, SPANS = 2, 3
OF_SHOP = {"vedette-project": b"shop"}


def recorded(signal: str, run: str = "agent-content-old-1") -> bytes:
    return (RECORDED / f"{run}.{signal}.pb").read_bytes()


def send(installation: Installation, topic: Topic, run: str = "agent-content-old-1") -> None:
    body = recorded("otlp" if topic is Topic.OTLP_SPANS else "logs", run)
    installation.put(topic, None, body, OF_SHOP)
    installation.flush()


def chunks(installation: Installation) -> list[TraceChunk]:
    return installation.records(Topic.SPANS, TraceChunk)


def released(installation: Installation) -> list[Span]:
    """The calls to a model that were handed on, in the order of their topic."""
    return [span for chunk in chunks(installation) for span in chunk.spans if span.kind == "llm"]


def until_released(installation: Installation, number: int) -> list[Span]:
    installation.until(lambda: len(released(installation)) >= number)
    return released(installation)


def until_remembered(installation: Installation, job: Job, contents: int, spans: int) -> None:
    """Waits until this many records stand on the topic of contents, and `complete` keeps this many spans."""
    installation.until(lambda: len(installation.records(Topic.SPAN_CONTENTS, SpanContents)) == contents)

    def kept() -> float:
        found = job.get("/metrics").splitlines()
        lines = [line for line in found if line.startswith("vedette_complete_remembered{") and 'what="spans"' in line]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    installation.until(lambda: kept() == spans)


def assert_told(spans: list[Span]) -> None:
    """The two calls say what the application asked and was answered."""
    first, second = sorted(spans, key=lambda span: span.start_time)
    assert [message["role"] for message in orjson.loads(first.input or "")] == ["system", "user"]
    assert "Where is my package?" in (first.input or "")
    assert '"lookup_order"' in (first.output or "")
    roles = [message["role"] for message in orjson.loads(second.input or "")]
    assert roles == ["system", "user", "assistant", "tool"]
    assert "Your order A-17" in (second.output or "")


@pytest.mark.parametrize("crash", [False, pytest.param(True, marks=pytest.mark.faults)])
@pytest.mark.parametrize("order", [(Topic.OTLP_SPANS, Topic.OTLP_LOGS), (Topic.OTLP_LOGS, Topic.OTLP_SPANS)])
def test_spans_and_their_content_are_joined_though_the_job_ends_between_the_two(
    installation: Installation, order: tuple[Topic, Topic], *, crash: bool
) -> None:
    _, ended = installation.start("normalise", "complete", content_wait_s=60)
    send(installation, order[0])
    until_remembered(installation, ended, contents=1, spans=CALLS)
    if crash:
        ended.kill()
    else:
        assert ended.terminate() == 0
    assert released(installation) == []

    (job,) = installation.start("complete", content_wait_s=60)
    send(installation, order[1])
    spans = until_released(installation, CALLS)

    assert_told(spans)
    of_both = {span.span_id for span in decode(recorded("otlp")).spans}
    assert {span.span_id for chunk in chunks(installation) for span in chunk.spans} == of_both
    assert job.terminate() == 0

    (again,) = installation.start("complete", content_wait_s=60)  # it reads everything again, and writes nothing
    until_remembered(installation, again, contents=2, spans=CALLS)
    assert again.terminate() == 0
    assert len(released(installation)) == CALLS


def test_a_span_whose_content_does_not_come_goes_on_without_and_what_comes_late_amends_it(
    installation: Installation,
) -> None:
    _, job = installation.start("normalise", "complete", content_wait_s=1)
    send(installation, Topic.OTLP_SPANS)
    installation.until(lambda: len(chunks(installation)) == 1)
    assert released(installation) == []
    spans = until_released(installation, CALLS)
    assert {(span.input, span.output, span.revision) for span in spans} == {(None, None, 0)}
    assert not any(chunk.amends for chunk in chunks(installation))

    send(installation, Topic.OTLP_LOGS)
    spans = until_released(installation, 2 * CALLS)[CALLS:]
    assert_told(spans)
    assert [chunk.amends for chunk in chunks(installation)].count(True) == CALLS
    assert all(span.revision > 0 for span in spans)
    assert 'vedette_complete_total{why="amended"} 2.0' in job.get("/metrics")


def test_messages_whose_text_was_not_recorded_let_their_span_go_at_once_without_content(
    installation: Installation,
) -> None:
    installation.start("normalise", "complete", content_wait_s=300)
    send(installation, Topic.OTLP_SPANS, "agent-default-1")
    send(installation, Topic.OTLP_LOGS, "agent-default-1")
    spans = until_released(installation, CALLS)
    assert {span.input for span in spans} == {None}
    assert {span.output is None for span in spans} == {True}


def test_a_span_that_says_its_content_itself_is_never_held(installation: Installation) -> None:
    installation.start("normalise", content_wait_s=300)
    send(installation, Topic.OTLP_SPANS, "agent-content-new-1")
    until_released(installation, CALLS)
    assert installation.messages(Topic.SPAN_CONTENTS) == []
    assert len(chunks(installation)[0].spans) == SPANS


@pytest.mark.faults
def test_two_workers_that_are_killed_over_and_over_hand_on_every_span_whole(installation: Installation) -> None:
    """A span may go on twice, when a worker dies between Kafka's ack and its commit: with the same content."""
    workers = installation.start("complete", "complete", content_wait_s=120)
    order = random.Random(7)
    projects = [f"p{number}" for number in range(1_500)]
    messages = [
        (project, content)
        for project in projects
        for content in (
            waiting(0, project=project),
            told(asked(0), project=project),
            told(answered(0), project=project),
        )
    ]
    order.shuffle(messages)
    for number in range(10):
        for project, content in messages[number::10]:
            trace = content.trace_id
            installation.put(Topic.SPAN_CONTENTS, record_key(project, trace), content)
        installation.flush()
        time.sleep(order.uniform(0.2, 2))
        workers.pop(order.randrange(2)).kill()
        workers += installation.start("complete", ready=False, content_wait_s=120)
    installation.until(lambda: {chunk.project for chunk in chunks(installation)} == set(projects))
    whole = {(span_id(0), '["hello"]', '["hi"]', 2)}
    assert {(s.span_id, s.input, s.output, s.revision) for c in chunks(installation) for s in c.spans} == whole
    assert not any(chunk.amends for chunk in chunks(installation))
    print(f"{len(chunks(installation))} chunks of {len(projects)} spans")
