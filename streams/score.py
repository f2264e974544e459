"""The scoring worker: score requests in, one score per pair out, many in flight, acknowledged in offset order."""

import time
from collections.abc import Callable, Mapping

from prometheus_client import Counter

from schemas.ids import record_key
from schemas.later import LaterRequest
from schemas.request import Pair, ScorerClass, ScoreRequest
from schemas.score import Score
from schemas.subject import Subject
from schemas.topics import Topic
from scorers.scorer import Permanent, Transient, Verdict
from streams.bench import Bench, Ready
from streams.faust_app import FaustJob
from streams.judges import HEEDS, IN_FLIGHT, Judges
from streams.later import terms_of
from streams.logic.configuration import Configuration
from streams.logic.in_effect import Remembered, named_attributes
from streams.logic.later import Terms, try_again
from streams.logic.later import key as later_key
from streams.logic.sampling import TOPIC_OF_CLASS
from streams.records import Out, Received
from streams.settings import Settings
from streams.verdict import score_of

_NAMED = Remembered(named_attributes)

AGAIN = Counter("vedette_later_tries_total", "Tries that a scorer could not end now, by what follows", ["then"])


async def scores(
    request: ScoreRequest,
    bench: Bench,
    configuration: Configuration,
    now_ms: Callable[[], int],
    of: ScorerClass = "code",
    terms: Terms = Terms(),  # noqa: B008 - frozen
) -> list[Score | LaterRequest]:
    """Judges every pair of a request and returns one score for each, or what lets it wait until it can be judged.

    Never raises for what a scorer does.
    """
    named = _NAMED.at(configuration, request.project, request.ingested_at)
    return [await _score(request, pair, bench, configuration, named, now_ms, of, terms) for pair in request.pairs]


async def _score(
    request: ScoreRequest,
    pair: Pair,
    bench: Bench,
    configuration: Configuration,
    named: frozenset[str],
    now_ms: Callable[[], int],
    of: ScorerClass,
    terms: Terms,
) -> Score | LaterRequest:
    threshold, started = None, time.perf_counter()
    try:
        ready = bench.take(configuration, request.project, pair)
        threshold = ready.spec.threshold
        verdict, error = await _judged(ready, request.subjects[pair.subject])
    except LookupError as missing:
        verdict, error = Verdict(skipped=True, reason=str(missing.args[0])), ""
    except ValueError as wrong:
        verdict, error = Verdict(), str(wrong)
    except Transient as failure:
        later = try_again(request, pair, of, failure.reason, failure.retry_after_s, now_ms(), terms)
        AGAIN.labels("waits" if isinstance(later, LaterRequest) else "given up").inc()
        if isinstance(later, LaterRequest):
            return later
        verdict, error = Verdict(skipped=True, reason=later.reason), ""
    latency_ms = (time.perf_counter() - started) * 1000
    return score_of(request, pair, verdict, error, named, now_ms(), threshold, pair.tries + 1, latency_ms)


async def _judged(ready: Ready, subject: Subject) -> tuple[Verdict, str]:
    """Returns the verdict, or an empty one and why there is none.

    Raises:
        Transient: it cannot be judged now.
    """
    try:
        async with ready.bounds():
            return await ready.scorer.judge(subject), ""
    except Transient:
        raise
    except Permanent as failure:
        return Verdict(cost_usd=failure.cost_usd), failure.reason
    except TimeoutError as error:
        return Verdict(), str(error) or f"no verdict within {ready.spec.timeout:g} s"
    except Exception as error:  # whatever a scorer raises is its error, never a fail
        return Verdict(), f"{type(error).__name__}: {error}"


def main(settings: Settings, classes: tuple[ScorerClass, ...] = ("code",)) -> None:
    """Runs a scoring worker for these classes of scorers until SIGTERM."""
    judges = Judges(settings)
    benches = {name: Bench(judges.make, HEEDS) if name == "judge" else Bench() for name in classes}
    asks = "judge" in classes
    job = worker(f"score-{'-'.join(classes)}", settings, benches, IN_FLIGHT if asks else 200)
    if asks:
        judges.known = lambda: job.known
        job.around(judges)
    job.run()


def worker(job_name: str, settings: Settings, benches: Mapping[ScorerClass, Bench], in_flight: int = 200) -> FaustJob:
    """Returns a scoring worker for the classes of these benches, that judges so many requests of each at once."""
    class_of = {TOPIC_OF_CLASS[name]: name for name in benches}
    reads = dict.fromkeys(class_of, ScoreRequest)
    job = FaustJob(job_name, settings, reads=reads, writes=(Score, LaterRequest))
    terms = terms_of(settings)

    async def judge(received: Received) -> list[Out]:
        request, of = received.of(ScoreRequest), class_of[received.topic]
        configuration = await job.configuration()
        key = record_key(request.project, request.trace_id or request.subjects[0].subject_id)
        found = await scores(request, benches[of], configuration, lambda: time.time_ns() // 1_000_000, of, terms)
        return [
            Out(Topic.SCORES, key, one) if isinstance(one, Score) else Out(Topic.SCORE_LATER, later_key(one), one)
            for one in found
        ]

    for topic, of in class_of.items():
        job.each(topic, judge, in_flight, parts=None if of == "code" else one_by_one)
    return job


def one_by_one(received: Received) -> list[Received]:
    """Returns the pairs of a request as requests of their own: no verdict waits for another scorer's."""
    request = received.of(ScoreRequest)
    return [received.with_record(request.model_copy(update={"pairs": (pair,)})) for pair in request.pairs]
