"""Calls one small function many times, watched in one of several ways, and prints the microseconds that a call takes its caller: CPU and wall.

python sdk_calls.py {bare|otel|observe|off|evaluate|judgeval|langfuse|logfire} CALLS URL

Each way sees only what its own environment has installed. The peers run as their pages tell, with input and output captured.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median

REQUEST = "Where is my package? I ordered it last week. " * 23
ANSWER = "It is on its way and will be with you tomorrow. " * 22
"""1 kB each"""

ATTRIBUTES = {
    "vedette.environment": "production",
    "vedette.session_id": "session-1",
    "vedette.customer_id": "cust-7",
    "gen_ai.agent.name": "CustomerServiceAgent",
    "vedette.agent": "CustomerServiceAgent",
    "vedette.agent_id": "01a210dd-fa2b-7e37-b083-ec556303978e",
    "vedette.span_kind": "tool",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "answer",
}
CHUNK = 200


def answer(request: str) -> str:
    return ANSWER if request else ""


def bare(url: str) -> Callable[[str], object]:
    del url
    return answer


def otel(url: str) -> Callable[[str], object]:
    """OpenTelemetry's own way: the same attributes, its batch processor, its exporter."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces"), schedule_delay_millis=200))
    tracer = provider.get_tracer("bench")

    def call(request: str) -> str:
        with tracer.start_as_current_span("answer", attributes={**ATTRIBUTES, "vedette.input": request}) as span:
            found = answer(request)
            span.set_attribute("vedette.output", found)
        return found

    return call


def observe(url: str) -> Callable[[str], object]:
    from opentelemetry.context import attach, get_current
    from vedette import Tracer
    from vedette.scope import Activation, Scope, Trace, in_scope

    tracer = Tracer(project_name="bench", api_url=url, api_key="key-of-the-bench", environment="production")
    trace = Trace()
    trace.tell(session_id="session-1", customer_id="cust-7")
    activation = Activation("CustomerServiceAgent", ATTRIBUTES["vedette.agent_id"], entered=True)
    attach(in_scope(Scope(tracer.core, trace, activation), get_current()))
    return tracer.observe(span_type="tool")(answer)


def judgeval(url: str) -> Callable[[str], object]:
    os.environ |= {"JUDGMENT_API_URL": url, "JUDGMENT_API_KEY": "key-of-the-bench", "JUDGMENT_ORG_ID": "bench"}
    from judgeval import Tracer  # type: ignore[import-not-found]

    Tracer.init(project_name="bench")
    found: Callable[[str], object] = Tracer.observe(span_type="tool")(answer)
    return found


def langfuse(url: str) -> Callable[[str], object]:
    from langfuse import Langfuse, observe  # type: ignore[import-not-found]

    Langfuse(public_key="pk", secret_key="sk", host=url, environment="production")
    found: Callable[[str], object] = observe(as_type="tool")(answer)
    return found


def logfire(url: str) -> Callable[[str], object]:
    import logfire as peer  # type: ignore[import-not-found]
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces"), schedule_delay_millis=200)
    peer.configure(
        send_to_logfire=False, console=False, inspect_arguments=False, additional_span_processors=[processor]
    )
    found: Callable[[str], object] = peer.instrument(record_return=True)(answer)
    return found


def off(url: str) -> Callable[[str], object]:
    from vedette import Tracer

    tracer = Tracer(project_name="bench", api_url=url, api_key="key-of-the-bench", enable_monitoring=False)
    return tracer.observe(span_type="tool")(answer)


def evaluate(url: str) -> Callable[[str], object]:
    from vedette import Example, ExampleScorer, Tracer

    class Request(Example):
        request: str
        response: str

    tracer = Tracer(project_name="bench", api_url=url, api_key="key-of-the-bench")
    scorer, example = ExampleScorer(name="Package Inquiry Scorer"), Request(request=REQUEST, response=ANSWER)
    return lambda _: tracer.async_evaluate(scorer=scorer, example=example, sampling_rate=0.95)


def main(way: str, calls: int, url: str) -> dict[str, float]:
    """Returns medians over chunks of calls. What the sender's thread takes meanwhile is in the wall's time alone."""
    call = globals()[way](url)
    for _ in range(2000):
        call(REQUEST)
    time.sleep(0.5)
    took: dict[str, list[float]] = {"cpu": [], "wall": []}
    for _ in range(calls // CHUNK):
        wall, cpu = time.perf_counter(), time.thread_time()
        for _ in range(CHUNK):
            call(REQUEST)
        took["cpu"].append((time.thread_time() - cpu) / CHUNK * 1e6)
        took["wall"].append((time.perf_counter() - wall) / CHUNK * 1e6)
        if way not in ("bare", "off"):
            time.sleep(0.005)  # some 10,000 calls a second, so that neither queue runs full
    return {clock: median(each) for clock, each in took.items()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
