"""The demo's agent: a customer service that answers about a conversation a second, and sometimes evades the question.

    python -m streams.local.demo.agent

A stock OpenTelemetry SDK reports to where `OTEL_EXPORTER_OTLP_*` says; each answer is sent as an example for evaluation, as plain HTTP.
Every run tells the same conversations in the same order.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME = "CustomerServiceAgent"
MODEL = "demo-model-1"
EVERY_S = 1.0

QUESTIONS = (
    "Where is my package?",
    "My parcel was due yesterday. When does it come?",
    "The tracking page has not changed for three days.",
    "Can you send my delivery to another address?",
    "The box arrived damaged. What now?",
)
ANSWERS = (
    "Your package left our warehouse this morning and arrives tomorrow.",
    "I am sorry for the wait: your parcel is in the van and comes today before 6 pm.",
    "Your shipment was held at the depot; it moves again and arrives on Thursday.",
    "Done. The delivery goes to the new address.",
    "I am sorry. A new package is on its way; please keep the damaged one for the courier.",
)
EVASIONS = (
    "Thank you for reaching out! Is there anything else that I can do for you today?",
    "Have you heard of our loyalty programme? You save 10 percent on the next order.",
)


@dataclass(frozen=True)
class Conversation:
    """One question and what the agent says to it."""

    number: int
    question: str
    answer: str

    @property
    def customer(self) -> str:
        """Customers come back."""
        return f"customer-{self.number % 17:02d}"


def conversation(number: int) -> Conversation:
    """Returns the `number`-th conversation; every seventh answer, beginning with the fourth, evades the question."""
    evades = number % 7 == 3
    answer = EVASIONS[number % len(EVASIONS)] if evades else ANSWERS[number % len(ANSWERS)]
    return Conversation(number, QUESTIONS[number % len(QUESTIONS)], answer)


def hold(tracer: trace.Tracer, talk: Conversation) -> None:
    """Holds one conversation: the agent looks the parcel up and answers, one span each."""
    who = {"gen_ai.agent.name": NAME, "gen_ai.conversation.id": f"session-{talk.number}", "user.id": talk.customer}
    with tracer.start_as_current_span(
        f"invoke_agent {NAME}", attributes={**who, "gen_ai.operation.name": "invoke_agent"}
    ) as span:
        span.set_attribute("gen_ai.input.messages", _messages("user", talk.question))
        _look_up(tracer, talk)
        _answer(tracer, talk)
        span.set_attribute("gen_ai.output.messages", _messages("assistant", talk.answer))
        evaluate(talk, span.get_span_context())


def evaluate(talk: Conversation, span: trace.SpanContext) -> None:
    """Sends question and answer to the scorer that the environment names; a conversation never fails because of it."""
    if "DEMO_SCORER" not in os.environ:
        return
    example = {
        "fields": {"request": talk.question, "response": talk.answer},
        "scorers": [os.environ["DEMO_SCORER"]],
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "session_id": f"session-{talk.number}",
        "customer_id": talk.customer,
        "agent": NAME,
        "environment": "production",
    }
    headers = {
        "authorization": f"Bearer {os.environ['DEMO_EXAMPLES_KEY']}",
        "x-vedette-project": "demo",
        "content-type": "application/json",
    }
    body = json.dumps({"examples": [example]}).encode()
    request = urllib.request.Request(os.environ["DEMO_EXAMPLES_URL"], body, headers)  # noqa: S310 - of the local stack
    try:
        urllib.request.urlopen(request, timeout=3).close()  # noqa: S310
    except OSError as error:
        print(f"not evaluated: {error}")


def _look_up(tracer: trace.Tracer, talk: Conversation) -> None:
    with tracer.start_as_current_span("execute_tool find_order", kind=trace.SpanKind.INTERNAL) as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "find_order",
                "gen_ai.tool.call.arguments": json.dumps({"customer": talk.customer}),
                "gen_ai.tool.call.result": json.dumps({"order": 1000 + talk.number, "state": "on its way"}),
            }
        )


def _answer(tracer: trace.Tracer, talk: Conversation) -> None:
    with tracer.start_as_current_span(f"chat {MODEL}", kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "demo",
                "gen_ai.request.model": MODEL,
                "gen_ai.response.model": MODEL,
                "gen_ai.input.messages": _messages("user", talk.question),
                "gen_ai.output.messages": _messages("assistant", talk.answer),
                "gen_ai.usage.input_tokens": len(talk.question) // 4,
                "gen_ai.usage.output_tokens": len(talk.answer) // 4,
            }
        )


def _messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def main() -> None:
    """Holds conversations until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=3)))
    tracer = provider.get_tracer("customer-service")
    count = 0
    while not stopping.wait(EVERY_S):
        hold(tracer, conversation(count))
        count += 1
    provider.shutdown()


if __name__ == "__main__":
    main()
