"""What must hold for every export, whatever an instrumentation sends."""

import base64
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from schemas.codec import Undecodable, encode
from schemas.otlp.context import inherit
from schemas.otlp.cut import cut_text
from schemas.otlp.decode import decode
from schemas.otlp.mask import mask, secret_key, suspicious
from schemas.otlp.tables import TABLES
from schemas.span import Span, TraceChunk
from streams.normalise import at_most, chunks, split

CAPTURES = sorted((Path(__file__).parents[1] / "fixtures" / "otlp").glob("*/*.otlp.pb"))
SEEN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# --- exports -------------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = (
    texts.map(lambda v: AnyValue(string_value=v))
    | st.sampled_from(["chat", "llm", "agent", "tool", "true", "12", "[1]", '["a","b"]', "OpenAI Agent"]).map(
        lambda v: AnyValue(string_value=v)
    )
    | st.booleans().map(lambda v: AnyValue(bool_value=v))
    | st.integers(-(2**63), 2**63 - 1).map(lambda v: AnyValue(int_value=v))
    | st.floats().map(lambda v: AnyValue(double_value=v))
    | st.binary(max_size=6).map(lambda v: AnyValue(bytes_value=v))
    | st.just(AnyValue())
)


def nested(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    return st.lists(values, max_size=3).map(lambda vs: AnyValue(array_value={"values": vs})) | st.dictionaries(
        texts, values, max_size=3
    ).map(lambda pairs: AnyValue(kvlist_value={"values": [KeyValue(key=k, value=v) for k, v in pairs.items()]}))


values = st.recursive(scalars, nested, max_leaves=5)
keys = st.sampled_from(sorted(TABLES.targets)) | st.sampled_from(["password", "x.authorization"]) | texts
attributes = st.dictionaries(keys, values, max_size=8).map(lambda d: [KeyValue(key=k, value=v) for k, v in d.items()])
trace_ids = st.sampled_from([b"\x01" * 16, b"\x02" * 16, b"\x03" * 16, b"\0" * 16, b"short"])
span_ids = st.integers(0, 5).map(lambda n: n.to_bytes(8, "big"))
times = st.integers(0, 2**64 - 1) | st.integers(1, 3)
events = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["exception", "gen_ai.client.inference.operation.details", *TABLES.message_events])
        | texts,
        "time_unix_nano": times,
        "attributes": attributes,
    }
)
spans = st.fixed_dictionaries(
    {
        "trace_id": trace_ids,
        "span_id": span_ids,
        "parent_span_id": span_ids | st.just(b""),
        "name": texts,
        "start_time_unix_nano": times,
        "end_time_unix_nano": times,
        "status": st.fixed_dictionaries({"code": st.integers(0, 2), "message": texts}),
        "attributes": attributes,
        "events": st.lists(events, max_size=2),
    }
)
scopes = st.fixed_dictionaries(
    {"scope": st.sampled_from([{}, {"name": "judgeval"}, {"name": "vedette"}]), "spans": st.lists(spans, max_size=4)}
)
exports = st.lists(
    st.fixed_dictionaries(
        {"resource": st.fixed_dictionaries({"attributes": attributes}), "scope_spans": st.lists(scopes, max_size=2)}
    ),
    max_size=2,
).map(lambda groups: ExportTraceServiceRequest(resource_spans=groups))


class Writer:
    """Writes an export as JSON in one of the many ways that the specification allows."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def export(self, request: ExportTraceServiceRequest) -> bytes:
        written = {
            self.name("resourceSpans"): [self.group(group) for group in request.resource_spans],
            "unheardOf": [{"x": 1}],
        }
        return json.dumps(
            written, ensure_ascii=self.chance.random() < 0.5, indent=self.chance.choice([None, 1])
        ).encode()

    def name(self, camel: str) -> str:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in camel)
        return self.chance.choice([camel, snake])

    def number(self, value: int) -> int | str:
        return self.chance.choice([value, str(value)])

    def group(self, group: Any) -> dict[str, Any]:
        scoped = [
            {"scope": {"name": s.scope.name, "version": None}, "spans": [self.span(span) for span in s.spans]}
            for s in group.scope_spans
        ]
        return {"resource": {"attributes": self.pairs(group.resource.attributes)}, self.name("scopeSpans"): scoped}

    def span(self, span: Any) -> dict[str, Any]:
        code = span.status.code
        return {
            self.name("traceId"): self.hex(span.trace_id),
            self.name("spanId"): self.hex(span.span_id),
            self.name("parentSpanId"): self.chance.choice(
                [self.hex(span.parent_span_id), span.parent_span_id.hex() or None]
            ),
            "name": span.name,
            "kind": self.chance.choice([1, "SPAN_KIND_INTERNAL"]),
            self.name("startTimeUnixNano"): self.number(span.start_time_unix_nano),
            self.name("endTimeUnixNano"): self.number(span.end_time_unix_nano),
            "attributes": self.pairs(span.attributes),
            "events": [
                {
                    "name": e.name,
                    self.name("timeUnixNano"): self.number(e.time_unix_nano),
                    "attributes": self.pairs(e.attributes),
                }
                for e in span.events
            ],
            "status": {
                "message": span.status.message,
                "code": self.chance.choice([code, ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")[code]]),
            },
        }

    def hex(self, id_: bytes) -> str:
        return self.chance.choice([id_.hex(), id_.hex().upper()])

    def pairs(self, pairs: Any) -> list[dict[str, Any]]:
        return [{"key": pair.key, "value": self.value(pair.value)} for pair in pairs]

    def value(self, value: AnyValue) -> dict[str, Any]:
        which = value.WhichOneof("value")
        if which is None:
            return {}
        if which == "array_value":
            return {self.name("arrayValue"): {"values": [self.value(item) for item in value.array_value.values]}}
        if which == "kvlist_value":
            return {self.name("kvlistValue"): {"values": self.pairs(value.kvlist_value.values)}}
        camel = which.split("_")[0] + "Value"
        return {self.name(camel): self.scalar(getattr(value, which))}

    def scalar(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return self.number(value) if type(value) is int else value


@SEEN
@given(exports, st.integers())
def test_protobuf_and_json_of_one_export_give_the_same_spans(request: ExportTraceServiceRequest, seed: int) -> None:
    left: Counter[str] = Counter()
    right: Counter[str] = Counter()
    assert chunks(request.SerializeToString(), "p", 5, left) == chunks(Writer(seed).export(request), "p", 5, right)
    assert left == right


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_capture_written_as_json_gives_the_same_spans(capture: Path) -> None:
    body = capture.read_bytes()
    assert chunks(Writer(1).export(ExportTraceServiceRequest.FromString(body)), "p", 5) == chunks(body, "p", 5)


@SEEN
@given(exports)
def test_every_span_is_in_a_chunk_of_its_trace_or_counted_as_dropped(request: ExportTraceServiceRequest) -> None:
    dropped: Counter[str] = Counter()
    made = chunks(request.SerializeToString(), "p", 5, dropped)
    sent = [span for group in request.resource_spans for scoped in group.scope_spans for span in scoped.spans]
    good = [s for s in sent if len(s.trace_id) == 16 and s.trace_id.strip(b"\0") and s.span_id.strip(b"\0")]
    assert dropped.total() == len(sent) - len(good)
    assert [chunk.trace_id for chunk in made] == list(dict.fromkeys(s.trace_id.hex() for s in good))
    if not any(a.key == "logfire.pending_parent_id" for s in sent for a in s.attributes):
        assert {(c.trace_id, s.span_id) for c in made for s in c.spans} == {
            (s.trace_id.hex(), s.span_id.hex()) for s in good
        }
    for chunk in made:
        assert TraceChunk(**chunk.model_dump()) == chunk  # every value is of its field's type
        assert all(0 <= span.resource < len(chunk.resources) for span in chunk.spans)


# --- damage --------------------------------------------------------------------------------------------------------------


def mutant(body: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) + 1)
        match chance.randrange(4):
            case 0:
                damaged[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del damaged[at : at + chance.randint(1, 30)]
            case 2:
                damaged[at:at] = chance.randbytes(chance.randint(1, 4))
            case _:
                del damaged[at:]
    return bytes(damaged)


def test_damaged_bytes_become_spans_or_are_undecodable_and_nothing_else() -> None:
    chance = random.Random(20260101)
    bodies = [path.read_bytes() for path in CAPTURES if path.stat().st_size < 6000]
    bodies += [Writer(n).export(ExportTraceServiceRequest.FromString(body)) for n, body in enumerate(bodies)]
    outcomes = {"spans": 0, "undecodable": 0}
    for n in range(4000):
        body = mutant(bodies[n % len(bodies)], chance)
        try:
            for chunk in chunks(body, "p", 5):
                encode(chunk)
            outcomes["spans"] += 1
        except Undecodable:
            outcomes["undecodable"] += 1
    assert min(outcomes.values()) > 100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "status", "code", "attributes", "key", "value", "values",
         "stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue", "events", "startTimeUnixNano"]
    ), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
wrapped = st.builds(
    lambda span, status: {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {"spans": [{"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1", "status": status, **span}]}
                ]
            }
        ]
    },
    st.dictionaries(
        st.sampled_from(["status", "attributes", "events", "startTimeUnixNano", "name", "parentSpanId"]),
        json_values,
        max_size=4,
    ),
    st.none(),
)


@SEEN
@given(json_values | wrapped)
def test_json_of_any_shape_becomes_spans_or_is_undecodable(value: Any) -> None:
    try:
        decode(json.dumps(value).encode())
    except Undecodable:
        return


# --- context -------------------------------------------------------------------------------------------------------------

some = st.sampled_from(["", "", "a", "b"])
trees = st.lists(
    st.fixed_dictionaries({
        "parent": st.integers(0, 12), "agent": some, "agent_instance": some, "agent_id": some, "agent_version": some,
        "session_id": some, "customer_id": some, "environment": some,
    }),
    max_size=10,
)  # fmt: skip


def spans_of(tree: Sequence[dict[str, Any]], parent_of: Callable[[int, int], int]) -> list[Span]:
    return [
        Span(
            span_id=str(n),
            parent_span_id=str(parent_of(n, told["parent"])),
            **{k: v for k, v in told.items() if k != "parent"},
        )
        for n, told in enumerate(tree)
    ]


def by_brute_force(span: Span, all_of_them: Sequence[Span]) -> Span:
    """Asks every ancestor, the nearest first."""
    ancestors = []
    up = next((s for s in all_of_them if s.span_id == span.parent_span_id), None)
    while up is not None:
        ancestors.append(up)
        up = next((s for s in all_of_them if s.span_id == ancestors[-1].parent_span_id), None)
    known = span.model_dump()
    for field in ("session_id", "customer_id", "environment"):
        known[field] = next((getattr(s, field) for s in (span, *ancestors) if getattr(s, field)), "")
    for at, ancestor in enumerate(ancestors):
        theirs = by_brute_force(ancestor, all_of_them)
        assert at == 0  # the parent knows what its own ancestors say
        other_agent = known["agent"] and known["agent"] != theirs.agent
        other_call = known["agent_id"] and theirs.agent_id and known["agent_id"] != theirs.agent_id
        if not other_agent and not other_call:
            for field in ("agent", "agent_instance", "agent_id", "agent_version"):
                known[field] = known[field] or getattr(theirs, field)
        break
    return Span(**known)


@SEEN
@given(trees, st.randoms(use_true_random=False))
def test_inherited_context_is_what_asking_every_ancestor_gives(
    tree: list[dict[str, Any]], chance: random.Random
) -> None:
    spans = spans_of(tree, lambda n, parent: parent if parent < n else 99)  # a parent comes before: no cycle
    chance.shuffle(spans)
    assert inherit(spans) == [by_brute_force(span, spans) for span in spans]


@SEEN
@given(trees)
def test_cycles_and_missing_parents_are_harmless(tree: list[dict[str, Any]]) -> None:
    spans = spans_of(tree, lambda _, parent: parent)
    settled = inherit(spans)
    assert [span.span_id for span in settled] == [span.span_id for span in spans]
    for before, after in zip(spans, settled, strict=True):
        assert all(getattr(after, name) == value for name, value in before.model_dump().items() if value)


# --- texts ---------------------------------------------------------------------------------------------------------------


@SEEN
@given(st.text(max_size=400), st.integers(0, 300))
def test_a_cut_text_never_exceeds_its_limit(text: str, limit: int) -> None:
    cut, was_cut = cut_text(text, limit)
    assert len(cut.encode()) <= limit or (not was_cut and cut == text)
    assert was_cut == (len(text.encode("utf-8", "replace")) > limit)
    assert was_cut or cut == text


pieces = st.lists(
    st.sampled_from(["password=", '"api_key": "', "Bearer ", "sk-ant-", "AKIA", "-----BEGIN PRIVATE KEY-----", "x" * 20, "A7" * 8, "eyJ", ".", '"', "\\", "\n", " "])
    | st.text(max_size=5),
    max_size=12,
).map("".join)  # fmt: skip


@SEEN
@given(pieces)
def test_masking_never_lengthens_a_text_and_leaves_unsuspicious_ones_alone(text: str) -> None:
    masked = mask(text)
    assert len(masked) <= len(text)
    assert suspicious(text) or masked == text
    assert secret_key(text) in (True, False)


@SEEN
@given(exports, st.integers(200, 3000))
def test_the_parts_of_a_chunk_hold_its_spans_again(request: ExportTraceServiceRequest, limit: int) -> None:
    for chunk in chunks(request.SerializeToString(), "p", 5):
        parts = list(split(chunk, limit))
        assert [(s.model_copy(update={"resource": 0}), p.resources[s.resource]) for p in parts for s in p.spans] == [
            (s.model_copy(update={"resource": 0}), chunk.resources[s.resource]) for s in chunk.spans
        ]
        assert all(len(encode(part)) <= limit or len(part.spans) == 1 for part in parts)
        assert len(encode(chunk)) <= at_most(chunk)
        assert {(p.project, p.trace_id, p.ingested_at) for p in parts} == {
            (chunk.project, chunk.trace_id, chunk.ingested_at)
        }
