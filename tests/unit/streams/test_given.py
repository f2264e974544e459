import pytest

from schemas.example import Example, GivenVerdict
from schemas.ids import hashed
from schemas.score import Outcome, Score
from streams.given import outcome_given, scores_given


def test_a_verdict_that_came_with_an_example_is_a_score_with_its_context() -> None:
    context = {
        "trace_id": "01" * 16, "span_id": "02" * 8, "session_id": "s", "customer_id": "c", "agent": "support-bot",
        "agent_version": "3", "environment": "production", "tags": ("golden",), "origin": "experiment", "run_id": "r",
    }  # fmt: skip
    verdicts = (
        GivenVerdict(scorer="Relevance", value=0.85, label="relevant", reason="It answers.", threshold=0.5),
        GivenVerdict(scorer="Faithfulness", error="timeout"),
    )
    example = Example.model_validate(
        {"project": "shop", "example_id": "e", "fields": b"{}", "verdicts": verdicts, **context}
    )
    shared = {
        "project": "shop", "scorer_version": "", "subject_kind": "example", "subject_id": "e", "ingested_at": 7, "ts": 7, **context,
    }  # fmt: skip
    assert scores_given(example, 7) == [
        Score.model_validate(
            {
                **shared, "score_id": hashed("shop", "example", "e", "Relevance@", "r"), "scorer": "Relevance",
                "outcome": "pass", "value": 0.85, "threshold": 0.5, "label": "relevant", "reason": "It answers.",
            }
        ),
        Score.model_validate(
            {
                **shared, "score_id": hashed("shop", "example", "e", "Faithfulness@", "r"), "scorer": "Faithfulness",
                "outcome": "error", "reason": "timeout",
            }
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ({"value": 0.5, "threshold": 0.5}, "pass"),
        ({"value": 0.4, "threshold": 0.5, "label": "pass"}, "fail"),
        ({"value": 0.4}, "scored"),
        ({"value": 0.4, "label": "Pass"}, "pass"),
        ({"label": "failed"}, "fail"),
        ({"label": "relevant"}, "scored"),
        ({}, "skipped"),
        ({"value": 1.0, "threshold": 0.5, "error": "timeout"}, "error"),
    ],
)
def test_a_verdict_counts_by_its_threshold_else_by_its_label(verdict: dict[str, object], outcome: Outcome) -> None:
    assert outcome_given(GivenVerdict.model_validate({"scorer": "x", **verdict})) == outcome
