"""`/v1/examples`: each example stands for itself; one that is wrong does not keep the others out."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, StringConstraints, ValidationError, model_validator

from schemas.codec import encode
from schemas.documents.base import Name, Rate, Strict
from schemas.example import Example, GivenVerdict, ScorerRef
from schemas.ids import example_id, record_key
from schemas.otlp.cut import cut_text
from schemas.otlp.mask import mask
from schemas.record import MAX_CHUNK_BYTES
from schemas.topics import Topic
from streams.bridge.answer import Refused
from streams.bridge.limits import Limits
from streams.bridge.uuid7 import uuid7
from streams.logic.configuration import Configuration

Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
TraceId = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{32})?$", to_lower=True)]
SpanId = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{16})?$", to_lower=True)]


class WantedScorer(Strict):
    """A scorer that an example asks for, with settings of its own."""

    scorer: str
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    model: Text = ""
    options: dict[str, Any] | None = None


class WantedVerdict(Strict):
    """A verdict that was made elsewhere: a value or a label, or why there is none."""

    scorer: Name
    value: float | None = Field(default=None, allow_inf_nan=False)
    threshold: float | None = Field(default=None, allow_inf_nan=False)
    label: Text = ""
    reason: str = ""
    error: str = ""


class WantedExample(Strict):
    """An example as it is sent."""

    id: Id | None = None
    fields: dict[str, Any]
    scorers: tuple[str | WantedScorer, ...] = Field(default=(), max_length=100)
    verdicts: tuple[WantedVerdict, ...] = Field(default=(), max_length=100)
    sampling_rate: Rate = 1.0
    trace_id: TraceId = ""
    span_id: SpanId = ""
    session_id: Text = ""
    customer_id: Text = ""
    agent: Text = ""
    environment: Text = ""
    origin: Literal["online", "experiment"] = "online"
    run_id: Text = ""

    @model_validator(mode="after")
    def _of_an_experiment(self) -> Self:
        if self.run_id and self.origin != "experiment":
            raise ValueError('run_id belongs to an experiment: send "origin": "experiment" too')
        return self


class _Named(Strict):
    name: Name


@dataclass(frozen=True, slots=True)
class Taken:
    """Records by key, the project that they are of, what the sender is told, and where the records go."""

    records: tuple[tuple[bytes, bytes], ...]
    project: str
    answer: bytes
    topic: Topic = Topic.EXAMPLES


@dataclass(frozen=True)
class Examples:
    """Makes records of examples."""

    configuration: Configuration
    limits: Limits
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    random: Callable[[int], bytes] = os.urandom

    def take(self, body: bytes, project: str, idempotency_key: str) -> Taken:
        """Returns the records of a body `{"examples": […]}`.

        Raises:
            Refused: 400 it is not of that form, 413 it holds too many.

        """
        records: list[tuple[bytes, bytes]] = []
        ids: list[str] = []
        rejected: list[dict[str, object]] = []
        asked: set[str] = set()
        for index, sent in enumerate(_sent(body, self.limits)):
            try:
                example = record(sent, project, lambda index=index: self._id(project, idempotency_key, index))  # type: ignore[misc]
                value = encoded(example)
            except ValueError as error:
                rejected.append({"index": index, "error": reason(error)})
                continue
            records.append((record_key(project, example.trace_id or example.example_id), value))
            ids.append(example.example_id)
            asked.update(ref.scorer for ref in example.scorers)
        known = self.configuration.in_effect("Scorer", project, self.now_ms()) if asked else {}
        unknown = sorted(asked - known.keys())
        told = {"accepted": len(ids), "ids": ids, "rejected": rejected, "unknown_scorers": unknown}
        return Taken(tuple(records), project, orjson.dumps(told))

    def _id(self, project: str, idempotency_key: str, index: int) -> str:
        if idempotency_key:
            return example_id(project, idempotency_key, index)
        return uuid7(self.now_ms(), self.random(10))


def _sent(body: bytes, limits: Limits) -> list[object]:
    containers = body.count(b"{") + body.count(b"[")
    if containers > limits.json_containers:
        raise Refused(
            413,
            f"the body holds {containers} objects and arrays, at most {limits.json_containers} are taken; send fewer examples at once",
        )
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    examples = document.get("examples") if isinstance(document, dict) else None
    if not isinstance(examples, list) or len(document) != 1:
        raise Refused(400, 'the body must be {"examples": [{"fields": {…}}, …]}')
    if len(examples) > limits.examples:
        raise Refused(413, f"{len(examples)} examples, at most {limits.examples} are taken at once")
    return examples


def record(sent: object, project: str, new_id: Callable[[], str]) -> Example:
    """Returns the record of an example as it was sent; its texts are masked and long ones cut.

    Raises:
        ValueError: it is not as it must be; a pydantic ValidationError when the form is wrong.

    """
    wanted = WantedExample.model_validate(sent)
    return Example(
        project=project,
        example_id=wanted.id or new_id(),
        fields=orjson.dumps(cleaned(wanted.fields)),
        scorers=tuple(_scorer(each) for each in wanted.scorers),
        verdicts=tuple(_verdict(each) for each in wanted.verdicts),
        **wanted.model_dump(include=_SAME),
    )


_SAME = {
    "sampling_rate",
    "trace_id",
    "span_id",
    "session_id",
    "customer_id",
    "agent",
    "environment",
    "origin",
    "run_id",
}


def _scorer(wanted: str | WantedScorer) -> ScorerRef:
    scorer = WantedScorer(scorer=wanted) if isinstance(wanted, str) else wanted
    name, _, version = scorer.scorer.partition("@")
    _Named(name=name)
    options = orjson.dumps(scorer.options, option=orjson.OPT_SORT_KEYS).decode() if scorer.options else ""
    return ScorerRef(scorer=name, version=version, threshold=scorer.threshold, model=scorer.model, options=options)


def _verdict(wanted: WantedVerdict) -> GivenVerdict:
    told = {"reason": cleaned(wanted.reason), "error": cleaned(wanted.error)}
    return GivenVerdict.model_validate({**dict(wanted), **told})


def cleaned(value: Any) -> Any:
    """Returns JSON data whose texts are masked and long ones cut; in this order: half a secret has no form to know it by."""
    if isinstance(value, str):
        return cut_text(mask(value))[0]
    if isinstance(value, dict):
        return {name: cleaned(inner) for name, inner in value.items()}
    return [cleaned(inner) for inner in value] if isinstance(value, list) else value


def encoded(example: Example) -> bytes:
    """Returns the bytes of a record.

    Raises:
        ValueError: they are too many.

    """
    value = encode(example)
    if len(value) > MAX_CHUNK_BYTES:
        raise ValueError(f"fields: the example takes {len(value)} bytes, at most {MAX_CHUNK_BYTES} are taken")
    return value


def reason(error: ValueError) -> str:
    """Returns what is wrong where, in one line."""
    return "; ".join(_lines(error)) if isinstance(error, ValidationError) else str(error)


def _lines(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_context=False)[:5]:
        where = ".".join(str(part) for part in detail["loc"])
        shown = repr(detail["input"])[:80]
        yield f"{where or 'example'}: {detail['msg'].removeprefix('Value error, ')} (got {shown})"
