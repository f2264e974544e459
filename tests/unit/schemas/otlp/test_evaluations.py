import orjson

from schemas.example import Example, GivenVerdict, ScorerRef
from schemas.ids import hashed
from schemas.otlp.evaluations import MAX_ASKED, PENDING, RESULT, examples_of
from schemas.span import Span, TraceChunk

TRACE, SPAN = "01" * 16, "02" * 8
CONTEXT = {
    "agent": "support-bot", "agent_version": "3", "session_id": "sess-1", "customer_id": "user-42",
    "environment": "production", "tags": ("golden",),
}  # fmt: skip


def chunk(**fields: object) -> TraceChunk:
    span = Span.model_validate({"span_id": SPAN, "input": "Where is it?", "output": "On its way.", **CONTEXT, **fields})
    return TraceChunk(project="shop", trace_id=TRACE, ingested_at=7, spans=(span,))


def events(*told: dict[str, object], name: str = RESULT) -> str:
    return orjson.dumps([{"name": name, "time": 1, "attributes": attributes} for attributes in told]).decode()


def example(**fields: object) -> Example:
    said = {"project": "shop", "trace_id": TRACE, "span_id": SPAN, **CONTEXT}
    return Example.model_validate(
        {"fields": orjson.dumps({"input": "Where is it?", "output": "On its way."}), **said, **fields}
    )


def result(name: str, **more: object) -> dict[str, object]:
    return {
        "gen_ai.evaluation.name": name,
        **{f"gen_ai.evaluation.{key.replace('__', '.')}": v for key, v in more.items()},
    }


def test_the_results_of_a_span_are_verdicts_of_one_example_with_the_spans_context() -> None:
    told = events(
        result("Relevance", score__value=0.85, score__label="relevant", explanation="It answers the question."),
        result("Toxicity", score__label="none"),
        {**result("Faithfulness"), "error.type": "timeout"},
    )
    assert list(examples_of(chunk(events=told))) == [
        example(
            example_id=hashed("shop", f"{TRACE}:{SPAN}", "evaluation"),
            verdicts=(
                GivenVerdict(scorer="Relevance", value=0.85, label="relevant", reason="It answers the question."),
                GivenVerdict(scorer="Toxicity", label="none"),
                GivenVerdict(scorer="Faithfulness", error="timeout"),
            ),
        )
    ]


def test_of_two_results_of_one_name_the_last_one_stands_and_one_without_a_name_is_none() -> None:
    told = events(
        result("Relevance", score__value=1), {"gen_ai.evaluation.score.value": 1}, result("Relevance", score__value=0)
    )
    (made,) = examples_of(chunk(events=told))
    assert made.verdicts == (GivenVerdict(scorer="Relevance", value=0.0),)


def test_a_value_that_is_no_number_is_no_value() -> None:
    (made,) = examples_of(chunk(events=events(result("A", score__value="high"), result("B", score__value=True))))
    assert made.verdicts == (GivenVerdict(scorer="A"), GivenVerdict(scorer="B"))


def test_a_span_that_says_nothing_brings_the_verdict_alone() -> None:
    (made,) = examples_of(chunk(events=events(result("A", score__value=1)), input=None, output=None))
    assert made.fields == b"{}"


def test_other_events_cut_events_and_spans_that_have_not_ended_bring_nothing() -> None:
    told = events(result("A", score__value=1))
    nothing = (
        chunk(events=events({"what": RESULT}, name="note")),
        chunk(events=told[:-1]),
        chunk(events=told, partial=True),
        chunk(attrs={PENDING: '{"judges": [{"name": "J"}]'}),
        chunk(attrs={PENDING: '"J"'}),
        chunk(attrs={PENDING: '{"judges": []}'}),
        chunk(attrs={PENDING: '{"judges": {"name": "J"}}'}),
    )
    assert [list(examples_of(each)) for each in nothing] == [[]] * len(nothing)


def test_an_evaluation_of_the_span_that_judgeval_0_asks_for_names_its_scorers() -> None:
    asked = {
        "id": "run-1", "eval_name": f"async_trace_evaluate_{SPAN}", "model": "gpt-5",
        "custom_scorers": [],
        "judgment_scorers": [
            {"score_type": "Trace Prompt Scorer", "name": "Helpful", "threshold": 0.7, "model": "gpt-5-mini"},
            {"score_type": "Faithfulness", "name": "", "threshold": 0.5},
        ],
        "trace_and_span_ids": [[TRACE, SPAN]], "is_offline": False,
    }  # fmt: skip
    assert list(examples_of(chunk(attrs={PENDING: orjson.dumps(asked).decode()}))) == [
        example(
            example_id=hashed("shop", f"{TRACE}:{SPAN}", "run-1"),
            scorers=(
                ScorerRef(scorer="Helpful", threshold=0.7, model="gpt-5-mini"),
                ScorerRef(scorer="Faithfulness", threshold=0.5, model="gpt-5"),
            ),
        )
    ]


def test_the_examples_that_judgeval_1_asks_to_judge_have_fields_and_ids_of_their_own() -> None:
    own = {
        "example_id": "e-1",
        "created_at": "2026-11-24",
        "trace_id": TRACE,
        "span_id": SPAN,
        "question": "?",
        "name": "Ada",
    }
    asked = [
        {"eval_name": "async_evaluate_J_0", "judges": [{"name": "J"}], "examples": [own, {"question": "!"}]},
        {"eval_name": "async_evaluate_K_1", "judges": [{"name": "K"}], "examples": []},
    ]
    assert list(examples_of(chunk(attrs={PENDING: orjson.dumps(asked).decode()}))) == [
        example(example_id="e-1", fields=b'{"question":"?","name":"Ada"}', scorers=(ScorerRef(scorer="J"),)),
        example(
            example_id=hashed("shop", f"{TRACE}:{SPAN}", "async_evaluate_J_0 1"),
            fields=b'{"question":"!"}',
            scorers=(ScorerRef(scorer="J"),),
        ),
    ]


def test_a_span_asks_for_so_many_examples_at_most() -> None:
    asked = [{"eval_name": str(n), "judges": [{"name": "J"}], "examples": [{}, {}]} for n in range(MAX_ASKED)]
    assert len(list(examples_of(chunk(attrs={PENDING: orjson.dumps(asked).decode()})))) == MAX_ASKED
