"""What the public SDK `judgeval` asks of the bridge itself: a project's id, evaluations to queue, verdicts made elsewhere, tags of traces.

It has two generations of paths (A: 0.9 to 0.27, at the root; B: 0.26 to 1.x, below `/v1/projects`), follows no redirect and reads
what is wrong from `detail`. Nothing here needs the api job. Of a body only what is named below is kept: neither the key nor the
organization that judgeval puts into it is written anywhere.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError, model_validator

from schemas.codec import encode
from schemas.example import Example, GivenVerdict
from schemas.ids import example_id, record_key
from schemas.otlp.cut import cut_text
from schemas.otlp.evaluations import scorers_asked
from schemas.otlp.guard import NAME_LIMIT
from schemas.otlp.mask import mask
from schemas.otlp.tables import amount
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams.bridge.answer import Refused
from streams.bridge.examples import Id, SpanId, Taken, TraceId, cleaned, encoded, reason
from streams.bridge.limits import Limits
from streams.logic.configuration import Configuration

Asks = Literal["resolve", "queue", "results", "tags"]

_PATHS: tuple[tuple[re.Pattern[str], Asks], ...] = (
    (re.compile(r"(?:/v1)?/projects/resolve|/projects/add|/v1/projects"), "resolve"),
    (re.compile(r"/add_to_run_eval_queue/examples|/v1/projects/(?P<project>[^/]+)/eval-queue/examples"), "queue"),
    (re.compile(r"/log_eval_results|/v1/projects/(?P<project>[^/]+)/eval-results/examples"), "results"),
    (re.compile(r"/traces/tags/add|/v1/projects/(?P<project>[^/]+)/traces/(?P<trace>[^/]+)/tags"), "tags"),
)
_OWN = re.compile(r"/(v1/projects|projects|add_to_run_eval_queue|evaluate|datasets|prompts|traces)(/.*)?")
_PASSED_ON = re.compile(
    r"/(upload_custom_scorer|scorer_exists|save_scorer|fetch_scorers|fetch_experiment_run|add_to_run_eval_queue/traces)"
    r"|/datasets/(create|insert_examples|pull|pull_all)_for_judgeval|/prompts/(insert|tag|untag|fetch|get_prompt_versions)"
    r"|/v1/projects/[^/]+/(eval-queue/traces|scorers(/[^/]+/exists|/custom/[^/]+/exists|/custom/bundle)?|experiments/[^/]+|datasets(/[^/]+(/\w+)?)?"
    r"|prompts(/[^/]+(/\w+)?)?)"
)

MAX_SCORERS = 100
"""of one call"""

MAX_TAGS = 100
"""of one call"""

PASS_OR_FAIL = 0.5
"""The threshold of a verdict that is true or false."""

_NO_FIELDS = frozenset(("example_id", "created_at", "trace_id", "span_id"))
_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


@dataclass(frozen=True, slots=True)
class Ask:
    """One of judgeval's calls, and the project and the trace that its path names: empty when it names none."""

    kind: Asks
    project: str = ""
    trace: str = ""


def ask_of(path: str) -> Ask | None:
    """Returns what a path asks of the bridge; None when it is not one of these. A slash at its end changes nothing."""
    for pattern, kind in _PATHS:
        found = pattern.fullmatch(path.removesuffix("/"))
        if found:
            named = found.groupdict()
            return Ask(kind, unquote(named.get("project") or ""), named.get("trace") or "")
    return None


def is_own(path: str) -> bool:
    """Tells whether a path is one of judgeval's, also when nobody answers it."""
    return ask_of(path) is not None or is_passed_on(path) or _OWN.fullmatch(path) is not None


def is_passed_on(path: str) -> bool:
    """Tells whether the api job answers a path of judgeval's."""
    return _PASSED_ON.fullmatch(path.removesuffix("/")) is not None


class _Told(BaseModel):
    """What judgeval sends beside this is its own business."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)


class _Run(_Told):
    id: Id
    project_name: _Text = ""
    trace_id: Annotated[TraceId, BeforeValidator(lambda value: value or "")] = ""
    trace_span_id: Annotated[SpanId, BeforeValidator(lambda value: value or "")] = ""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, told: Any) -> Any:
        """The first releases of B send no `id` with an online evaluation."""
        return {**told, "id": told.get("id") or told.get("eval_name")} if isinstance(told, dict) else told


class _Queue(_Run):
    examples: list[dict[str, Any]]


class _Tags(_Told):
    trace_id: Annotated[TraceId, StringConstraints(min_length=32)]
    tags: Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Result(_Told):
    scorers_data: list[dict[str, Any]]
    data_object: dict[str, Any]


class _Results(_Told):
    results: list[_Result]
    run: _Run


@dataclass(frozen=True)
class Judgeval:
    """Answers judgeval's calls. `public_url` is where people find the api."""

    configuration: Configuration
    limits: Limits
    public_url: str = ""
    now_ms: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)

    def take(self, ask: Ask, project_of: Callable[[str], str], body: bytes) -> Taken:
        """Returns the records of a call and what judgeval is told; `project_of` tells which project a name asks for.

        Raises:
            Refused: 400 it is not of the form that judgeval sends, 413 it holds too much; and as `project_of` does.

        """
        document = self._read(body)
        project = project_of(project_asked(ask, document))
        try:
            if ask.kind == "resolve":
                return _resolved(project)
            if ask.kind == "tags":
                return self._tagged({**document, **({"trace_id": ask.trace} if ask.trace else {})}, project)
            return self._queued(document, project) if ask.kind == "queue" else self._logged(document, project)
        except ValidationError as error:
            raise Refused(400, reason(error)) from None

    def _read(self, body: bytes) -> dict[str, Any]:
        if body.count(b"{") + body.count(b"[") > self.limits.json_containers:
            raise Refused(413, f"the body holds more than {self.limits.json_containers} objects; send fewer examples")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"the body is no JSON: {error}") from None
        if not isinstance(document, dict):
            raise Refused(400, "the body must be a JSON object")
        return document

    def _queued(self, document: dict[str, Any], project: str) -> Taken:
        run = _Queue.model_validate(document)
        scorers = tuple(islice(scorers_asked(document), MAX_SCORERS + 1))
        if len(scorers) > MAX_SCORERS:
            raise Refused(400, f"more than {MAX_SCORERS} scorers at once")
        examples = [
            _example(run, project, place, told).model_copy(update={"scorers": scorers})
            for place, told in enumerate(run.examples)
        ]
        waits = self._unknown(project, {ref.scorer for ref in scorers})
        message = f"{len(examples)} examples queued in project {project}"
        if waits:
            message += f"; they wait for scorers that do not exist there yet: {', '.join(waits)}"
        told = {"success": True, "status": "success", "message": message, "unknown_scorers": waits}
        return Taken(self._records(examples), project, orjson.dumps(told))

    def _unknown(self, project: str, scorers: set[str]) -> list[str]:
        known = self.configuration.in_effect("Scorer", project, self.now_ms()) if scorers else {}
        return sorted(scorers - known.keys())

    def _logged(self, document: dict[str, Any], project: str) -> Taken:
        told = _Results.model_validate(document)
        examples = [
            _example(told.run, project, place, result.data_object).model_copy(
                update={"verdicts": tuple(_verdicts(result))}
            )
            for place, result in enumerate(told.results)
        ]
        answer = {"ui_results_url": self._url(project, told.run.id)}
        return Taken(self._records(examples), project, orjson.dumps(answer))

    def _tagged(self, document: dict[str, Any], project: str) -> Taken:
        """Tags come while their trace is still going on, so they are a chunk of their own, without a span."""
        told = _Tags.model_validate(document)
        tags = tuple(dict.fromkeys(cut_text(mask(tag), NAME_LIMIT)[0] for tag in told.tags[:MAX_TAGS] if tag))
        chunk = TraceChunk(project=project, trace_id=told.trace_id, ingested_at=self.now_ms(), tags=tags)
        written = ((record_key(project, told.trace_id), encode(chunk)),) if tags else ()
        return Taken(written, project, orjson.dumps({"success": True, "tags": tags}), Topic.SPANS)

    def _url(self, project: str, run_id: str) -> str:
        return f"{self.public_url}/api/v1/experiments/{quote(run_id, safe='')}?project={quote(project, safe='')}"

    def _records(self, examples: list[Example]) -> tuple[tuple[bytes, bytes], ...]:
        if len(examples) > self.limits.examples:
            raise Refused(413, f"{len(examples)} examples, at most {self.limits.examples} are taken at once")
        return tuple((record_key(one.project, one.trace_id or one.example_id), _encoded(one)) for one in examples)


def project_asked(ask: Ask, document: dict[str, Any]) -> str:
    """Returns the name of the project that a call is for, from its path or its body, percent-encoded; empty when none is told.

    Raises:
        Refused: 400, it is told and is no text.

    """
    run = document.get("run") if ask.kind == "results" else document
    told = run if isinstance(run, dict) else {}
    name = ask.project or told.get("project_name") or unquoted(told.get("project_id")) or ""
    if not isinstance(name, str):
        raise Refused(400, f"project_name: {name!r} is no text")
    if ask.kind == "resolve" and not name:
        raise Refused(400, "project_name is missing; give Tracer(project_name=...)")
    return quote(name, safe="")


def unquoted(project_id: object) -> object:
    """Returns the name that a project's id is, percent-encoded."""
    return unquote(project_id) if isinstance(project_id, str) else project_id


def _resolved(project: str) -> Taken:
    """A project needs no record: its id is its name, percent-encoded, which judgeval sends back as `X-Project-Id`."""
    answer = {"project_id": quote(project, safe=""), "project_created": False}
    return Taken((), project, orjson.dumps(answer))


def _example(run: _Run, project: str, place: int, told: dict[str, Any]) -> Example:
    """With a trace it is one of a running agent's, without one it belongs to an experiment."""
    own = told.get("example_id")
    fields = {name: value for name, value in told.items() if name not in _NO_FIELDS and (name, value) != ("name", None)}
    return Example(
        project=project,
        example_id=_text(own) or example_id(project, run.id, place),
        fields=orjson.dumps(cleaned(fields)),
        trace_id=run.trace_id,
        span_id=run.trace_span_id,
        origin="online" if run.trace_id else "experiment",
        run_id="" if run.trace_id else run.id,
    )


def _verdicts(result: _Result) -> Iterator[GivenVerdict]:
    """Generation A tells `name`, `score` and `threshold`; B `scorer_name` and a `value` that is a number, a truth or a label."""
    for told in result.scorers_data:
        name = _text(told.get("scorer_name")) or _text(told.get("name"))
        value = told.get("value") if "value" in told else told.get("score")
        if name:
            yield GivenVerdict(
                scorer=name,
                value=float(value) if isinstance(value, bool) else amount(value),
                threshold=PASS_OR_FAIL if isinstance(value, bool) else amount(told.get("threshold")),
                label=_text(value) if isinstance(value, str) else "",
                reason=_long(told.get("reason")),
                error=_long(told.get("error")),
            )


def _encoded(example: Example) -> bytes:
    try:
        return encoded(example)
    except ValueError as error:
        raise Refused(413, str(error)) from None


def _text(value: object) -> str:
    return cut_text(value, NAME_LIMIT)[0] if isinstance(value, str) else ""


def _long(value: object) -> str:
    return cut_text(mask(value))[0] if isinstance(value, str) else ""
