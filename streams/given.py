"""Verdicts that came with an example become scores like any other."""

from schemas.example import Example, GivenVerdict
from schemas.ids import score_id
from schemas.score import Outcome, Score
from schemas.subject import subject_of_example

_SAID: dict[str, Outcome] = {"pass": "pass", "passed": "pass", "fail": "fail", "failed": "fail"}
"""Labels that say how a verdict without a threshold counts."""


def scores_given(example: Example, ingested_at: int) -> list[Score]:
    """Returns the scores of the verdicts made elsewhere that an example brought, in their order.

    `ingested_at` is when Kafka appended the example, in milliseconds: nobody tells when the verdict was made. Their scorers
    have no version of ours.
    """
    subject = subject_of_example(example)
    return [
        Score(
            project=example.project,
            score_id=score_id(example.project, "example", subject.subject_id, verdict.scorer, "", example.run_id),
            scorer=verdict.scorer,
            scorer_version="",
            subject_kind="example",
            subject_id=subject.subject_id,
            outcome=outcome_given(verdict),
            ingested_at=ingested_at,
            ts=ingested_at,
            trace_id=subject.trace_id,
            span_id=subject.span_id,
            session_id=subject.session_id,
            customer_id=subject.customer_id,
            agent=subject.agent,
            agent_version=subject.agent_version,
            environment=subject.environment,
            tags=subject.tags,
            value=verdict.value,
            threshold=verdict.threshold,
            label=verdict.label,
            reason=verdict.error or verdict.reason,
            origin=example.origin,
            run_id=example.run_id,
        )
        for verdict in example.verdicts
    ]


def outcome_given(verdict: GivenVerdict) -> Outcome:
    """Returns how a verdict made elsewhere counts: by its threshold, else by its label, else as a plain score."""
    if verdict.error:
        return "error"
    if verdict.value is not None and verdict.threshold is not None:
        return "pass" if verdict.value >= verdict.threshold else "fail"
    if verdict.label.lower() in _SAID:
        return _SAID[verdict.label.lower()]
    return "skipped" if verdict.value is None and not verdict.label else "scored"
