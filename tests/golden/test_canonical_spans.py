"""Captures of real SDKs become exactly the canonical spans that were written down by hand from the dialects' descriptions.

`otlp/<sdk>.json` tells for each capture what every span has (`every`) and what each has, in the order of the capture; fields
that are not told have their defaults. `input` and `output` name the attribute whose text they take. Ids, times, events and the
remaining attributes are read from the capture by the few lines below, which know nothing of dialects.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.span import Span
from streams.normalise import chunks

CAPTURES = Path(__file__).parents[1] / "fixtures" / "otlp"
GOLDEN = Path(__file__).parent / "otlp"
SDKS = sorted(path.stem for path in GOLDEN.glob("*.json"))
CASES = [(sdk, capture) for sdk in SDKS for capture in json.loads((GOLDEN / f"{sdk}.json").read_text())]


@pytest.mark.parametrize(("sdk", "capture"), CASES)
def test_a_capture_becomes_the_spans_that_were_written_down(sdk: str, capture: str) -> None:
    told = json.loads((GOLDEN / f"{sdk}.json").read_text())[capture]
    body = (CAPTURES / sdk / f"{capture}.otlp.pb").read_bytes()

    (chunk,) = chunks(body, "golden", 1_795_399_605_000)

    sent = list(as_sent(body))
    assert [span.model_dump() for span in chunk.spans] == [
        expected({**told["every"], **span}, was) for span, was in zip(told["spans"], sent, strict=True)
    ]
    assert (chunk.project, chunk.ingested_at, chunk.origin, chunk.run_id) == ("golden", 1_795_399_605_000, "online", "")
    assert chunk.trace_id == sent[0]["trace_id"]
    assert chunk.resources == (sent[0]["resource_attributes"],)


def test_every_capture_is_written_down() -> None:
    assert {(sdk, f"{capture}.otlp.pb") for sdk, capture in CASES} == {
        (path.parent.name, path.name) for path in CAPTURES.glob("*/*.otlp.pb")
    }


@pytest.mark.parametrize("sdk", SDKS)
def test_tokens_tools_users_agents_and_errors_are_those_of_the_scenario(sdk: str) -> None:
    runs = json.loads((CAPTURES / sdk / "truth.json").read_text())["runs"]
    for name, truth in runs.items():
        spans = [span for file in truth["files"] for span in spans_of(CAPTURES / sdk / file)]
        if name != "responses-new":  # this instrumentation does not know the Responses API: there are no spans
            assert [usage(c["usage"]) for c in truth["calls"] if c["usage"]] == recorded(sdk, name, spans), name
        if any(span.kind == "tool" for span in spans):
            assert {span.tool_name for span in spans if span.kind == "tool"} == set(truth["tools"]), name
        assert {s.customer_id for s in spans} - {""} == (
            {truth["user_id"]} if truth["on_wire"]["user_id"] else set()
        ), name
        agents = {agent for span in spans for agent in (span.agent, span.agent_instance)}
        assert agents >= (set(truth["agents"]) if agents - {""} else set()), name
        assert any(span.status == "error" for span in spans) == (
            truth["error"] and name != "agent-toolfail-new" and not hidden(sdk, name)
        ), name


def hidden(sdk: str, run: str) -> bool:
    """A tool that the program runs without a span fails unseen, unless its failure ends the run."""
    return sdk == "opentelemetry-instrumentation-anthropic-0.62.4" and run == "agent-toolfail"


def recorded(sdk: str, run: str, spans: list[Span]) -> list[tuple[int | None, int | None]]:
    """The tokens of the calls in their order; anthropic 2 reports every call a second time by itself."""
    calls = [span for span in spans if span.input_tokens is not None and span.name != "anthropic.chat"]
    if not calls:
        calls = [span for span in spans if span.input_tokens is not None]
    off = 1 if (sdk, run) == ("opentelemetry-instrumentation-anthropic-0.62.4", "agent-tool-stream-anthropic0x") else 0
    return [
        (span.input_tokens, None if span.output_tokens is None else span.output_tokens - off)  # it counts one too many
        for span in sorted(calls, key=lambda span: span.start_time)
    ]


def usage(truth: dict[str, Any]) -> tuple[int | None, int | None]:
    """OpenAI's prompt tokens include the cached ones, Anthropic's do not."""
    cache = sum(truth.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
    tokens = truth.get("prompt_tokens", truth.get("input_tokens"))
    return tokens + cache, truth.get("completion_tokens", truth.get("output_tokens"))


def spans_of(path: Path) -> list[Span]:
    return [span for chunk in chunks(path.read_bytes(), "golden", 1) for span in chunk.spans]


def expected(told: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    attrs = dict(sent["attributes"])
    fields = {
        name: info.get_default(call_default_factory=True)
        for name, info in Span.model_fields.items()
        if not info.is_required()
    }
    fields |= {name: sent[name] for name in ("span_id", "parent_span_id", "start_time", "duration_us", "events")}
    fields |= told
    fields |= {name: attrs.pop(told[name]) for name in ("input", "output") if name in told}
    return {**fields, "attrs": attrs, "tags": tuple(fields["tags"])}


def as_sent(body: bytes) -> Iterator[dict[str, Any]]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        for span in (span for scoped in group.scope_spans for span in scoped.spans):
            events = [
                {
                    "name": e.name,
                    "time": e.time_unix_nano // 1000,
                    "attributes": {a.key: plain(a.value) for a in e.attributes},
                }
                for e in span.events
            ]
            yield {
                "trace_id": span.trace_id.hex(),
                "span_id": span.span_id.hex(),
                "parent_span_id": span.parent_span_id.hex(),
                "start_time": span.start_time_unix_nano // 1000,
                "duration_us": (span.end_time_unix_nano - span.start_time_unix_nano) // 1000,
                "attributes": {a.key: text(plain(a.value)) for a in span.attributes},
                "events": text(events) if events else "",
                "resource_attributes": {a.key: text(plain(a.value)) for a in group.resource.attributes},
            }


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [plain(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    found = getattr(value, which) if which else None
    return base64.b64encode(found).decode() if isinstance(found, bytes) else found
