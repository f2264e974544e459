"""Captures of real SDKs become exactly the canonical spans that were written down by hand from the dialects' descriptions.

`otlp/<sdk>.json` tells for each capture (a file's name without `.otlp.pb` or `.otlp.json`) what every span has (`every`) and what each has, in
the order of the capture; fields that are not told have their defaults. What all captures of an SDK share stands once:

* `every` beside the captures: fields of every span of every capture;
* `shapes`: named groups of fields that a span takes by `"like": "chat"`, or `"like": ["chat", "first"]`, later ones last.

A span's own fields come last. A told `null` means: the default. These are told in a form of their own:

* `input`, `output`: the name of the attribute whose whole text they take, and which leaves `attrs`; or
  `{"from": PREFIX, "is": …}`: the JSON that is built from all attributes that begin with the prefix, and which leave `attrs`; or
  `{"is": …}`: JSON that is built from something that stays;
* `parent`: the place of the parent in the capture, or null for a root; left out, it is read from the capture;
* `status_message`: the whole text, or its beginning and `…` for the one that was sent and begins so;
* `attrs_without`: further attributes that do not stay in `attrs`.

Ids, times, events and the remaining attributes are read from the capture by the few lines below, which know nothing of dialects.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.span import Span
from streams.normalise import chunks

CAPTURES = Path(__file__).parents[1] / "fixtures" / "otlp"
GOLDEN = Path(__file__).parent / "otlp"
SDKS = sorted(path.stem for path in GOLDEN.glob("*.json"))
SHARED = ("every", "shapes")
CASES = [
    (sdk, capture)
    for sdk in SDKS
    for capture in json.loads((GOLDEN / f"{sdk}.json").read_text())
    if capture not in SHARED
]


@pytest.mark.parametrize(("sdk", "capture"), CASES)
def test_a_capture_becomes_the_spans_that_were_written_down(sdk: str, capture: str) -> None:
    (file,) = (CAPTURES / sdk).glob(f"{capture}.otlp.*")
    body = file.read_bytes()

    made = chunks(body, "golden", 1_795_399_605_000)

    sent = list(as_sent(body))
    wanted = written_down(sdk, capture, sent)
    traces = list(dict.fromkeys(was["trace_id"] for was in sent))
    assert [
        (chunk.project, chunk.trace_id, chunk.ingested_at, chunk.origin, chunk.run_id, chunk.resources)
        for chunk in made
    ] == [("golden", trace, 1_795_399_605_000, "online", "", (sent[0]["resource_attributes"],)) for trace in traces]
    for chunk, trace in zip(made, traces, strict=True):
        assert [comparable(span.model_dump(), wanted) for span in chunk.spans] == [
            fields for fields, was in zip(wanted, sent, strict=True) if was["trace_id"] == trace
        ]


def written_down(sdk: str, capture: str, sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fields of every span of a capture: what the file tells, and what is read from the capture."""
    file = json.loads((GOLDEN / f"{sdk}.json").read_text())
    told = file[capture]
    wanted = []
    for span, was in zip(told["spans"], sent, strict=True):
        like = span.get("like", [])
        shapes = [file["shapes"][name] for name in ([like] if isinstance(like, str) else like)]
        fields: dict[str, Any] = {}
        for group in (file.get("every", {}), told.get("every", {}), *shapes, span):
            fields |= group
        fields.pop("like", None)
        wanted.append(expected(fields, was, sent))
    return wanted


def comparable(span: dict[str, Any], wanted: list[dict[str, Any]]) -> dict[str, Any]:
    """Built JSON is compared as JSON: how it is spaced is nobody's business."""
    told = next((fields for fields in wanted if fields["span_id"] == span["span_id"]), {})
    if span["cost_source"] == "priced":  # what it is changes with the installed prices
        assert span["cost_usd"] > 0
        span |= {"cost_usd": None, "cost_source": ""}
    for name in ("input", "output"):
        if isinstance(told.get(name), Built):
            assert isinstance(span[name], str), f"{name} of {span['name']} is {span[name]}"
            span[name] = Built(json.loads(span[name]))
    return span


@dataclass(frozen=True)
class Built:
    """A text that is the JSON of something."""

    value: Any


def test_every_capture_is_written_down() -> None:
    assert set(CASES) == {(path.parent.name, path.name.partition(".otlp.")[0]) for path in CAPTURES.glob("*/*.otlp.*")}


@pytest.mark.parametrize("sdk", SDKS)
def test_tokens_tools_users_agents_and_errors_are_those_of_the_scenario(sdk: str) -> None:
    runs = json.loads((CAPTURES / sdk / "truth.json").read_text())["runs"]
    for name, truth in runs.items():
        spans = [span for file in truth["files"] for span in spans_of(CAPTURES / sdk / file)]
        if name != "responses-new":  # this instrumentation does not know the Responses API: there are no spans
            assert [usage(c["usage"]) for c in truth["calls"] if c["usage"]] == recorded(sdk, name, spans), name
        assert all(span.kind in ("llm", "retriever") for span in spans if span.input_tokens is not None), name
        assert all(span.cost_usd is not None for span in spans if span.input_tokens is not None), name
        if any(span.tool_name for span in spans):
            assert {span.tool_name for span in spans if span.kind == "tool"} - {""} == set(truth["tools"]), name
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
    """The tokens of the calls in their order: nothing is counted twice, so every span that has any is one call."""
    off = 1 if (sdk, run) == ("opentelemetry-instrumentation-anthropic-0.62.4", "agent-tool-stream-anthropic0x") else 0
    calls = [span for span in spans if span.input_tokens is not None]
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


def expected(told: dict[str, Any], sent: dict[str, Any], all_sent: list[dict[str, Any]]) -> dict[str, Any]:
    attrs = dict(sent["attributes"])
    fields = {
        name: info.get_default(call_default_factory=True)
        for name, info in Span.model_fields.items()
        if not info.is_required()
    }
    fields |= {name: sent[name] for name in ("span_id", "parent_span_id", "start_time", "duration_us", "events")}
    own = {name: value for name, value in told.items() if value is not None and name not in ("parent", "attrs_without")}
    fields |= own
    if "cost_usd" in own:
        fields["cost_source"] = "span"
    if fields["status_message"].endswith("…"):
        assert sent["status_message"].startswith(fields["status_message"][:-1])
        fields["status_message"] = sent["status_message"]
    if "parent" in told:
        fields["parent_span_id"] = "" if told["parent"] is None else all_sent[told["parent"]]["span_id"]
    for name in ("input", "output"):
        if name in own:
            fields[name] = text_from(own[name], attrs)
    for name in told.get("attrs_without", ()):
        del attrs[name]
    return {**fields, "attrs": attrs, "tags": tuple(fields["tags"])}


def text_from(told: str | dict[str, Any], attrs: dict[str, str]) -> str | Built:
    if isinstance(told, str):
        return attrs.pop(told)
    built = [name for name in attrs if "from" in told and name.startswith(told["from"])]
    assert built or "from" not in told, f"no attribute begins with {told['from']}"
    for name in built:
        del attrs[name]
    return Built(told["is"])


def as_sent(body: bytes) -> Iterator[dict[str, Any]]:
    for group in message(body).resource_spans:
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
                "status_message": span.status.message,
                "attributes": {a.key: text(plain(a.value)) for a in span.attributes},
                "events": text(events) if events else "",
                "resource_attributes": {a.key: text(plain(a.value)) for a in group.resource.attributes},
            }


def message(body: bytes) -> ExportTraceServiceRequest:
    if not body.startswith(b"{"):
        return ExportTraceServiceRequest.FromString(body)
    sent = json.loads(body)
    for span in (span for group in sent["resourceSpans"] for scoped in group["scopeSpans"] for span in scoped["spans"]):
        for name in {"traceId", "spanId", "parentSpanId"} & set(span):  # hex in OTLP, base64 in protobuf's own JSON
            span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(sent, ExportTraceServiceRequest())


def text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def plain(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [plain(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    found = getattr(value, which) if which else None
    return base64.b64encode(found).decode() if isinstance(found, bytes) else found
