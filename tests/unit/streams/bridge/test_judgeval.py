"""What the bridge makes of judgeval's calls, without a bridge."""

import json

import orjson
import pytest

from schemas.codec import Schemas
from schemas.example import Example
from schemas.ids import example_id
from schemas.otlp.evaluations import without_credentials
from schemas.record import MAX_CHUNK_BYTES
from streams.bridge.answer import Refused
from streams.bridge.examples import Taken
from streams.bridge.judgeval import Ask, Judgeval, ask_of, is_own, is_passed_on
from streams.bridge.limits import Limits
from streams.logic.configuration import Configuration

JUDGEVAL = Judgeval(Configuration(), Limits(examples=3), "http://here", now_ms=lambda: 0)
RUN = {"id": "run-1", "project_name": "shop", "custom_scorers": [{"name": "Polite", "threshold": 0.5}]}


def taken(kind: str, body: object) -> Taken:
    ask = ask_of({"queue": "/add_to_run_eval_queue/examples", "results": "/log_eval_results/"}[kind])
    assert ask is not None
    return JUDGEVAL.take(ask, lambda named: named, orjson.dumps(body))


def examples(kind: str, body: object) -> list[Example]:
    read = Schemas()
    return [read.decode(Example, value) for _, value in taken(kind, body).records]


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/projects/resolve/", Ask("resolve")),
        ("/projects/add", Ask("resolve")),
        ("/v1/projects/", Ask("resolve")),
        ("/v1/projects/a%20b/eval-queue/examples", Ask("queue", "a b")),
        ("/v1/projects/p/eval-results/examples/", Ask("results", "p")),
        ("/v1/projects/a%20b/traces/0af7/tags", Ask("tags", "a b", "0af7")),
        ("/traces/tags/add/", Ask("tags")),
        ("/v1/projects/p/eval-queue/traces", None),
        ("/v1/traces", None),
        ("/fetch_scorers/", None),
    ],
)
def test_a_path_asks_the_bridge_or_it_does_not(path: str, ask: Ask | None) -> None:
    assert ask_of(path) == ask


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v1/projects/p/scorers",
            "/v1/projects/p/experiments/r/",
            "/scorer_exists/",
            "/add_to_run_eval_queue/traces",
        ),
        *(
            "/v1/projects/p/datasets",
            "/v1/projects/p/datasets/golden%20set/versions/",
            "/datasets/pull_all_for_judgeval/",
        ),
        *("/v1/projects/p/prompts/sys/tags", "/prompts/get_prompt_versions/", "/v1/projects/p/eval-queue/traces"),
    ],
)
def test_what_the_api_answers_is_passed_on(path: str) -> None:
    assert is_passed_on(path)
    assert is_own(path)


@pytest.mark.parametrize("path", ["/v1/examples", "/otel/v1/traces", "/api/v1/status", "/v1/projectsx"])
def test_other_paths_are_not_judgevals(path: str) -> None:
    assert not is_own(path)


def test_with_a_trace_an_example_is_online_and_without_one_it_belongs_to_an_experiment() -> None:
    told = {**RUN, "examples": [{"example_id": "e", "created_at": "", "name": None, "request": "q"}]}
    (online,) = examples("queue", {**told, "trace_id": "a" * 32, "trace_span_id": "b" * 16})
    (offline,) = examples("queue", {**told, "trace_id": None, "trace_span_id": None})
    assert (online.origin, online.run_id, online.trace_id, online.span_id) == ("online", "", "a" * 32, "b" * 16)
    assert (offline.origin, offline.run_id, offline.trace_id, offline.span_id) == ("experiment", "run-1", "", "")
    assert json.loads(online.fields) == {"request": "q"}


def test_an_example_without_an_id_gets_the_same_one_when_the_run_is_sent_again() -> None:
    told = {**RUN, "examples": [{"request": "q"}, {"request": "r"}]}
    ids = [one.example_id for one in examples("queue", told)]
    assert ids == [example_id("shop", "run-1", 0), example_id("shop", "run-1", 1)]


@pytest.mark.parametrize("own", [{}, {"id": None}])
def test_a_run_without_an_id_is_known_by_its_name(own: dict[str, object]) -> None:
    (example,) = examples("queue", {"eval_name": "async_evaluate_1", "project_name": "shop", "examples": [{}], **own})
    assert (example.run_id, example.example_id) == ("async_evaluate_1", example_id("shop", "async_evaluate_1", 0))


def test_secrets_in_fields_are_masked() -> None:
    (example,) = examples("queue", {**RUN, "examples": [{"request": "password=hunter22"}]})
    assert json.loads(example.fields) == {"request": "password=***"}


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"name": "s", "score": 0.4, "threshold": 0.5, "reason": "r", "error": None}, ("s", 0.4, 0.5, "", "r", "")),
        ({"name": "s", "score": None, "threshold": 0.5, "error": "boom"}, ("s", None, 0.5, "", "", "boom")),
        ({"scorer_name": "s", "value": False, "reason": ""}, ("s", 0.0, 0.5, "", "", "")),
        ({"scorer_name": "s", "value": "rude", "reason": ""}, ("s", None, None, "rude", "", "")),
    ],
)
def test_a_verdict_of_either_generation(told: dict[str, object], verdict: tuple[object, ...]) -> None:
    body = {"run": RUN, "results": [{"scorers_data": [told], "data_object": {"example_id": "e"}}]}
    (given,) = examples("results", body)[0].verdicts
    assert (given.scorer, given.value, given.threshold, given.label, given.reason, given.error) == verdict


def test_verdicts_of_a_running_agent_are_online_with_its_span() -> None:
    run = {**RUN, "trace_id": "A" * 32, "trace_span_id": "b" * 16}
    scores = [{"name": "s", "score": 1, "threshold": 0.5}]
    (example,) = examples("results", {"run": run, "results": [{"scorers_data": scores, "data_object": {}}]})
    assert (example.origin, example.trace_id, example.span_id) == ("online", "a" * 32, "b" * 16)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**RUN, "examples": [{}] * 4}, 413),
        ({**RUN, "examples": [{"text": ["x" * 200_000] * 30}]}, 413),
        ({**RUN, "examples": [], "custom_scorers": [{"name": str(n)} for n in range(101)]}, 400),
        ({**RUN, "examples": [], "trace_id": "no trace"}, 400),
    ],
)
def test_too_much_and_another_form_are_refused(body: object, status: int) -> None:
    assert MAX_CHUNK_BYTES < 200_000 * 30
    with pytest.raises(Refused) as refused:
        taken("queue", body)
    assert refused.value.status == status


def test_what_a_span_asks_for_is_kept_without_the_key_and_the_organization_of_its_sender() -> None:
    asked = {
        "name": "Polite",
        "kwargs": {"judgment_api_key": 'k"1', "prompt": "p"},
        "organization_id": "an-organization",
    }
    kept = json.loads(without_credentials(json.dumps({"judgment_scorers": [asked]})))
    assert kept == {"judgment_scorers": [{"name": "Polite", "kwargs": {"judgment_api_key": "***", "prompt": "p"}, "organization_id": "***"}]}  # fmt: skip
