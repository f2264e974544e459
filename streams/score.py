"""The scoring worker: score requests in, one score per pair out, many in flight, acknowledged in offset order."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key, score_id
from schemas.request import Pair, ScorerClass, ScoreRequest
from schemas.score import Outcome, Score
from schemas.subject import Subject
from schemas.topics import Topic
from scorers.registry import build
from scorers.scorer import Scorer, Verdict
from streams.faust_app import FaustJob
from streams.logic.configuration import Configuration, Versioned
from streams.logic.in_effect import Remembered, named_attributes
from streams.records import Out, Received
from streams.settings import Settings

TOPIC_OF_CLASS: dict[ScorerClass, Topic] = {
    "code": Topic.REQUESTS_CODE,
    "hosted": Topic.REQUESTS_HOSTED,
    "judge": Topic.REQUESTS_JUDGE,
}
_NAMED = Remembered(named_attributes)


@dataclass
class Ready:
    """A scorer version that is built and may judge."""

    spec: ScorerSpec
    scorer: Scorer
    slots: asyncio.Semaphore


@dataclass
class Bench:
    """The scorers of this worker, built once per version."""

    _ready: dict[tuple[str, str, str], Ready] = field(default_factory=dict)
    _enabled: dict[Versioned, bool] = field(default_factory=dict)

    def take(self, configuration: Configuration, project: str, pair: Pair) -> Ready:
        """Returns the scorer that a pair asks for.

        Raises:
            LookupError: there is none, or it is disabled now; the text says what to do.
            ValueError: its document cannot be built.
        """
        key = (project, pair.scorer, pair.base_version)
        newest = configuration.newest("Scorer", project, pair.scorer)
        if newest and not self._is_enabled(newest):
            raise LookupError(f"scorer {pair.scorer!r} is disabled: apply its document with `enabled: true`")
        if key not in self._ready:
            found = configuration.version("Scorer", *key) if pair.base_version else None
            if found is None:
                version = f"no version {pair.version!r} of scorer" if pair.version else "no scorer"
                raise LookupError(
                    f"project {project!r} has {version} {pair.scorer!r}: apply its document, then send again"
                )
            spec = ScorerSpec.model_validate_json(found.spec)
            self._ready[key] = Ready(spec, build(spec), asyncio.Semaphore(spec.concurrency))
        return self._ready[key]

    def _is_enabled(self, newest: Versioned) -> bool:
        """A scorer is disabled at once, whatever version a subject asks for."""
        if newest not in self._enabled:
            self._enabled[newest] = ScorerSpec.model_validate_json(newest.spec).enabled
        return self._enabled[newest]


async def scores(
    request: ScoreRequest, bench: Bench, configuration: Configuration, now_ms: Callable[[], int]
) -> list[Score]:
    """Judges every pair of a request and returns one score for each. Never raises for what a scorer does."""
    named = _NAMED.at(configuration, request.project, request.ingested_at)
    return [await _score(request, pair, bench, configuration, named, now_ms) for pair in request.pairs]


async def _score(
    request: ScoreRequest,
    pair: Pair,
    bench: Bench,
    configuration: Configuration,
    named: frozenset[str],
    now_ms: Callable[[], int],
) -> Score:
    subject, threshold, started = request.subjects[pair.subject], pair.threshold, time.perf_counter()
    try:
        ready = bench.take(configuration, request.project, pair)
        threshold = ready.spec.threshold if threshold is None else threshold
        verdict, error = await _judged(ready, subject)
    except LookupError as missing:
        verdict, error = Verdict(skipped=True, reason=str(missing.args[0])), ""
    except ValueError as wrong:
        verdict, error = Verdict(), str(wrong)
    latency_ms = (time.perf_counter() - started) * 1000
    return _record(request, pair, subject, verdict, error, threshold, named, now_ms(), latency_ms)


async def _judged(ready: Ready, subject: Subject) -> tuple[Verdict, str]:
    """Returns the verdict, or an empty one and why there is none."""
    try:
        async with ready.slots, asyncio.timeout(ready.spec.timeout):
            return await ready.scorer.judge(subject), ""
    except TimeoutError as error:
        return Verdict(), str(error) or f"no verdict within {ready.spec.timeout:g} s"
    except Exception as error:  # whatever a scorer raises is its error, never a fail
        return Verdict(), f"{type(error).__name__}: {error}"


def outcome(verdict: Verdict, error: str, threshold: float | None) -> Outcome:
    """Returns how a verdict counts: neither an error nor a skipped subject is ever a fail."""
    if error:
        return "error"
    if verdict.skipped or verdict.value is None:
        return "skipped"
    if threshold is None:
        return "scored"
    return "pass" if verdict.value >= threshold else "fail"


def _record(
    request: ScoreRequest,
    pair: Pair,
    subject: Subject,
    verdict: Verdict,
    error: str,
    threshold: float | None,
    named: frozenset[str],
    now_ms: int,
    latency_ms: float,
) -> Score:
    project, kind, sid = request.project, subject.kind, subject.subject_id
    return Score(
        project=project,
        score_id=score_id(project, kind, sid, pair.scorer, pair.version, request.run_id),
        scorer=pair.scorer,
        scorer_version=pair.version,
        subject_kind=kind,
        subject_id=sid,
        outcome=outcome(verdict, error, threshold),
        ingested_at=request.ingested_at,
        ts=now_ms,
        trace_id=subject.trace_id,
        span_id=subject.span_id,
        span_name=subject.span_name,
        span_kind=subject.span_kind,
        session_id=subject.session_id,
        customer_id=subject.customer_id,
        agent=subject.agent,
        agent_version=subject.agent_version,
        environment=subject.environment,
        tags=subject.tags,
        attributes={name: subject.attributes[name] for name in named if name in subject.attributes},
        value=verdict.value,
        threshold=threshold,
        measured=verdict.measured,
        label=verdict.label,
        reason=error or verdict.reason,
        latency_ms=latency_ms,
        sampling_rate=pair.sampling_rate,
        origin=request.origin,
        run_id=request.run_id,
    )


def main(settings: Settings, classes: tuple[ScorerClass, ...] = ("code",)) -> None:
    """Runs a scoring worker for these classes of scorers until SIGTERM."""
    topics = {TOPIC_OF_CLASS[name]: ScoreRequest for name in classes}
    job = FaustJob(f"score-{'-'.join(classes)}", settings, reads=topics, writes=(Score,))
    benches: dict[Topic, Bench] = defaultdict(Bench)

    async def judge(received: Received) -> list[Out]:
        request = received.of(ScoreRequest)
        configuration = await job.configuration()
        key = record_key(request.project, request.trace_id or request.subjects[0].subject_id)
        found = await scores(request, benches[received.topic], configuration, lambda: time.time_ns() // 1_000_000)
        return [Out(Topic.SCORES, key, score) for score in found]

    for topic in topics:
        job.each(topic, judge, in_flight=200)
    job.run()
