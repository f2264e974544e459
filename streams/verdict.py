"""From a scorer's verdict to the score on the topic."""

from schemas.ids import score_id
from schemas.request import Pair, ScoreRequest
from schemas.score import Outcome, Score
from scorers.scorer import Verdict


def outcome(verdict: Verdict, error: str, threshold: float | None) -> Outcome:
    """Returns how a verdict counts: neither an error nor a skipped subject is ever a fail."""
    if error:
        return "error"
    if verdict.skipped or verdict.value is None:
        return "skipped"
    if threshold is None:
        return "scored"
    return "pass" if verdict.value >= threshold else "fail"


def score_of(
    request: ScoreRequest,
    pair: Pair,
    verdict: Verdict,
    error: str,
    named: frozenset[str],
    now_ms: int,
    threshold: float | None = None,
    tries: int = 1,
    latency_ms: float = 0.0,
) -> Score:
    """Returns the record of a verdict, or of the error in its place, with its subject's context.

    `named` are the attributes that it carries to the rules, `threshold` the configured one unless the pair has its own.
    """
    subject = request.subjects[pair.subject]
    threshold = threshold if pair.threshold is None else pair.threshold
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
        attempt=request.attempt,
        cost_usd=verdict.cost_usd,
        tries=tries,
        late=pair.give_up_at > 0,
        sampling_rate=pair.sampling_rate,
        origin=request.origin,
        run_id=request.run_id,
    )
