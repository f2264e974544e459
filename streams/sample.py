"""The sampler: which scorers judge which subjects. Stateless: chunks and examples in, score requests out.

Verdicts that came with an example become scores here, too. Spans of traces that are judged as a whole, and what filters and groups
have to know of a span's ancestors, go to `vedette.span-contents`, where the job `complete` puts them together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.contents import SpanContents
from schemas.example import Example, ScorerRef
from schemas.ids import record_key
from schemas.later import LaterRequest
from schemas.request import Pair, ScoreRequest
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.subject import Subject, subject_of_example, subject_of_span
from schemas.topics import Topic
from streams.faust_app import FaustJob
from streams.given import scores_given
from streams.later import terms_of
from streams.logic.configuration import Configuration
from streams.logic.in_effect import Remembered, Scorers
from streams.logic.later import Terms, await_scorer
from streams.logic.later import key as later_key
from streams.logic.plan import Chosen, Plan, chosen, contents_of, plan
from streams.logic.sampling import keep, stamped, topic_of_type
from streams.records import Out, Reads, Received
from streams.settings import Settings

_PLAN = Remembered(plan)


@dataclass(frozen=True)
class Asked:
    """A scorer asked for a subject, and where that goes: to the class of workers that has it, or to wait for it."""

    topic: Topic
    pair: Pair


def requests(received: Received, configuration: Configuration, terms: Terms = Terms()) -> list[Out]:  # noqa: B008 - frozen
    """Returns what one trace chunk or example causes.

    At most one score request per class of scorers, one for each scorer to wait for, and the scores of verdicts that came with it.
    """
    record = received.record
    if isinstance(record, TraceChunk):
        return _of_chunk(record, _PLAN.at(configuration, record.project, record.ingested_at))
    example = received.of(Example)
    found = _PLAN.at(configuration, example.project, received.ingested_at).scorers
    return _of_example(example, received.ingested_at, found, configuration, terms)


def _of_chunk(chunk: TraceChunk, found: Plan) -> list[Out]:
    if chunk.amends:
        return []
    outs = _span_requests(chunk, found.scorers) if found.of_spans else []
    contents = contents_of(found, chunk)
    if contents is not None:
        outs.append(Out(Topic.SPAN_CONTENTS, record_key(chunk.project, chunk.trace_id), contents))
    return outs


def _span_requests(chunk: TraceChunk, found: Scorers) -> list[Out]:
    """Returns the requests of a chunk's spans, as far as it can be told which scorers take them."""
    spans = [span for span in chunk.spans if not span.partial]
    subjects = [subject_of_span(chunk, span) for span in spans]
    online = [
        (number, one)
        for number, (span, subject) in enumerate(zip(spans, subjects, strict=True))
        for one in chosen(found, subject, "span", settled=not span.parent_span_id)
        if not one.lacks
    ]
    return requests_of(chunk, subjects, online)


def requests_of(
    chunk: TraceChunk, subjects: Sequence[Subject], online: Iterable[tuple[int, Chosen]], attempt: int = 0
) -> list[Out]:
    """Returns the requests of subjects that were made from a chunk for scorers that judge them by themselves, by index."""
    request = ScoreRequest(
        project=chunk.project,
        trace_id=chunk.trace_id,
        ingested_at=chunk.ingested_at,
        origin=chunk.origin,
        run_id=chunk.run_id,
        attempt=attempt,
        subjects=tuple(subjects),
    )
    return _outs(record_key(chunk.project, chunk.trace_id), request, [_asked(one, index) for index, one in online])


def _of_example(
    example: Example, ingested_at: int, found: Scorers, configuration: Configuration, terms: Terms
) -> list[Out]:
    subject = subject_of_example(example)
    named: list[Asked] = []
    if keep(example.project, example.trace_id or example.example_id, example.sampling_rate):
        named = [_named(ref, example, found, configuration, terms) for ref in example.scorers]
    by_themselves = chosen(found, subject, "example") if example.origin == "online" else ()
    asked = _once([*named, *(_asked(one, 0) for one in by_themselves)])
    request = ScoreRequest(
        project=example.project,
        trace_id=example.trace_id,
        ingested_at=ingested_at,
        origin=example.origin,
        run_id=example.run_id,
        subjects=(subject,),
    )
    at_once = [one for one in asked if one.topic is not Topic.SCORE_LATER]
    later = [await_scorer(request, one.pair, terms) for one in asked if one.topic is Topic.SCORE_LATER]
    key = record_key(example.project, example.trace_id or example.example_id)
    return [
        *_outs(key, request, at_once),
        *(Out(Topic.SCORE_LATER, later_key(one), one) for one in later),
        *(Out(Topic.SCORES, key, score) for score in scores_given(example, ingested_at)),
    ]


def _asked(one: Chosen, index: int) -> Asked:
    rate, version = one.online.sampling_rate, one.version.version
    pair = Pair(
        subject=index, scorer=one.name, version=version, base_version=version, sampling_rate=rate,
        why=f"online, {rate:g} of its {one.online.target}s",
    )  # fmt: skip
    return Asked(topic_of_type(one.spec.type), pair)


def _named(ref: ScorerRef, example: Example, found: Scorers, configuration: Configuration, terms: Terms) -> Asked:
    """A scorer that the example asks for. One that does not exist is waited for, if that is wanted; else the worker says so."""
    known = found.get(ref.scorer)
    base = ref.version or (known[0].version if known else "")
    if ref.version and configuration.version("Scorer", example.project, ref.scorer, ref.version) is None:
        known, base = None, ""
    pair = Pair(
        subject=0, scorer=ref.scorer, base_version=base,
        version=stamped(base, ref.threshold, ref.model, ref.options) or ref.version,
        threshold=ref.threshold,
        model=ref.model, options=ref.options, sampling_rate=example.sampling_rate, why="named by the example",
    )  # fmt: skip
    if base:
        return Asked(topic_of_type(known[1].type if known else ""), pair)
    return Asked(Topic.SCORE_LATER if terms.wait_ms else Topic.REQUESTS_CODE, pair)


def _once(asked: Iterable[Asked]) -> list[Asked]:
    found: dict[tuple[object, ...], Asked] = {}
    for one in asked:
        pair = one.pair
        own = (pair.threshold, pair.model, pair.options) if one.topic is Topic.SCORE_LATER else ()
        found.setdefault((pair.scorer, pair.version, *own), one)
    return list(found.values())


def _outs(key: bytes, request: ScoreRequest, asked: list[Asked]) -> list[Out]:
    """One request per class, carrying only the subjects that it asks about."""
    outs = []
    for topic in dict.fromkeys(one.topic for one in asked):
        pairs = [one.pair for one in asked if one.topic is topic]
        wanted = {old: new for new, old in enumerate(dict.fromkeys(pair.subject for pair in pairs))}
        narrowed = request.model_copy(
            update={
                "subjects": tuple(request.subjects[old] for old in wanted),
                "pairs": tuple(pair.model_copy(update={"subject": wanted[pair.subject]}) for pair in pairs),
            }
        )
        outs.append(Out(topic, key, narrowed))
    return outs


def main(settings: Settings) -> None:
    """Runs the sampler until SIGTERM."""
    reads: Reads = {Topic.SPANS: TraceChunk, Topic.EXAMPLES: Example}
    job = FaustJob("sample", settings, reads, writes=(ScoreRequest, LaterRequest, Score, SpanContents))
    terms = terms_of(settings)

    async def sample(received: Received) -> list[Out]:
        return requests(received, await job.configuration(), terms)

    job.each(Topic.SPANS, sample)
    job.each(Topic.EXAMPLES, sample)
    job.run()
