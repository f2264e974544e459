"""Traffic as instrumented agents send it: traces of five 1 kB spans in the names of OpenTelemetry's GenAI conventions."""

import json
import random
import secrets
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

SPANS_OF_A_TRACE = 5
SPAN_BYTES = 1000
_SPAN_NS = 300_000_000
_NAMES = ("invoke_agent", "chat", "execute_tool", "chat", "execute_tool")


@dataclass
class Traffic:
    """Makes bodies whose texts repeat from a seed and whose ids never do."""

    seed: int = 1
    agents: tuple[str, ...] = tuple(f"Agent{number}" for number in range(10))
    chance: random.Random = field(init=False)
    words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(self.chance.choices(letters, k=self.chance.randint(2, 9))) for _ in range(2000)]

    def body(self, traces: int, now_ns: int) -> bytes:
        """Returns an export of so many whole traces that ended now."""
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "shop"
        resource.scope_spans.add().scope.name = "vedette.bench"
        for _ in range(traces):
            self._trace(resource, self.chance.choice(self.agents), now_ns)
        return request.SerializeToString()

    def _trace(self, resource: ResourceSpans, agent: str, now_ns: int) -> None:
        trace_id, root = secrets.token_bytes(16), secrets.token_bytes(8)
        for number in range(SPANS_OF_A_TRACE):
            span = resource.scope_spans[0].spans.add(
                trace_id=trace_id,
                span_id=root if number == 0 else secrets.token_bytes(8),
                parent_span_id=b"" if number == 0 else root,
                name=_NAMES[number],
                kind=Span.SPAN_KIND_CLIENT,
                start_time_unix_nano=max(now_ns - _SPAN_NS, 0),
                end_time_unix_nano=now_ns,
            )
            self._attributes(span, agent)

    def _attributes(self, span: Span, agent: str) -> None:
        texts = {"gen_ai.operation.name": span.name, "gen_ai.agent.name": agent, "gen_ai.conversation.id": "s-1"}
        if span.name == "chat":
            texts |= {
                "gen_ai.request.model": "gpt-5-mini",
                "gen_ai.provider.name": "openai",
                "server.address": "api.openai.com",
            }
            texts |= {"gen_ai.response.id": secrets.token_hex(8), "gen_ai.response.model": "gpt-5-mini-2025-08-07"}
            for name, count in (("input", 700), ("output", 120)):
                span.attributes.add(key=f"gen_ai.usage.{name}_tokens").value.int_value = count
        if span.name == "execute_tool":
            texts |= {"gen_ai.tool.name": "find_parcel", "gen_ai.tool.call.arguments": '{"parcel": 7}'}
        for key, text in texts.items():
            span.attributes.add(key=key).value.string_value = text
        room = max(SPAN_BYTES - span.ByteSize() - 200, 80)
        for key, share in (("gen_ai.input.messages", room // 2), ("gen_ai.output.messages", room - room // 2)):
            span.attributes.add(key=key).value.string_value = self._message(share)

    def _message(self, size: int) -> str:
        text = " ".join(self.chance.choices(self.words, k=max(size // 7, 1)))[:size]
        return json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}])
