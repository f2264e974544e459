"""judgeval's calls as its unmodified releases sent them, replayed against a real bridge and a real api; answers are compared by shape."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr

from schemas.config import ConfigEntry
from schemas.example import Example
from schemas.topics import Topic
from scorers.hosted.index import Index
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import migrate
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.bridge import Bridge, make_key, records, start_bridge, stop_bridge, wait_known
from tests.support.hosted import builder, builds_served, open_folder
from tests.support.index import LocalIndex, serving, wheel
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parent.parent / "fixtures" / "judgeval"
HEADERS = {"content_type": "application/json", "x_organization_id": "test-org"}
LOOKED_UP_ONLY = frozenset({"id", "user_id", "organization_id", "message"})
"""Keys of recorded answers that judgeval never reads."""


@dataclass(frozen=True)
class Server:
    bridge: Bridge
    installation: Installation
    key: str

    def call(self, path: str, body: object, method: str = "POST", key: str = "") -> tuple[int, Any]:
        told = json.dumps(body).encode() if method == "POST" else b""
        status, headers, answer = self.bridge.send(
            path, told, method, authorization=f"Bearer {key or self.key}", **HEADERS
        )
        assert "location" not in headers
        return status, json.loads(answer)

    def documents(self, kind: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call(f"/api/v1/documents?kind={kind}&name={quote(name)}", None, "GET")[1][
            "documents"
        ]
        return found

    def configuration(self) -> list[ConfigEntry]:
        return self.installation.records(Topic.CONFIG, ConfigEntry)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        settings = self.bridge.settings
        with closing(connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)) as database:
            return [tuple(row) for row in database.rows(statement)]

    def examples(self) -> list[Example]:
        return self.installation.records(Topic.EXAMPLES, Example)


@pytest.fixture(scope="module")
def server(kafka: str, clickhouse: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    api_port = free_port()
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"j{secrets.token_hex(4)}.",
        partitions=2,
        otlp_http_port=free_port(),
        otlp_grpc_port=0,
        api_port=api_port,
        api_url=f"http://127.0.0.1:{api_port}",
        public_url="http://vedette.example",
        clickhouse_url=SecretStr(clickhouse),
        clickhouse_database=f"t_{secrets.token_hex(4)}",
        runner_token=SecretStr("known to both"),
    )
    database = connect(clickhouse, settings.clickhouse_database)
    migrate(database)
    with built_by(settings) as url:
        yield from _served(settings.model_copy(update={"runner_url": url}), tmp_path_factory.mktemp("judgeval"))
    database.execute("DROP DATABASE {ours:Identifier} SYNC")
    database.close()


@contextmanager
def built_by(settings: Settings) -> Iterator[str]:
    """The URL of a runner whose index has a small package under the name of each that the recorded uploads ask for."""
    with serving(LocalIndex()) as index, open_folder() as folder:
        index.add(wheel("openai", files={"openai.py": "class OpenAI: pass"}))
        index.add(wheel("pydantic", files={"pydantic/__init__.py": ""}))
        with builds_served(builder(Index(index.url), folder), settings) as url:
            yield url


def _served(settings: Settings, folder: Path) -> Iterator[Server]:
    installation = Installation(settings, folder)
    bridge = start_bridge(settings)
    key = make_key(settings, scopes=("admin",))
    wait_known(bridge, key)
    installation.start("streams.api.job", "normalise", "sample", "store")
    yield Server(bridge, installation, key)
    assert stop_bridge(bridge) == 0
    installation.stop()


def calls(name: str, *paths: str) -> list[dict[str, Any]]:
    """The recorded calls to some paths."""
    lines = (RECORDED / name).read_text().splitlines()
    return [call for call in map(json.loads, lines) if call["path"] in paths]


def ended(trace: str, span: str, **attributes: str) -> bytes:
    """An export of one span that has ended."""
    request = ExportTraceServiceRequest()
    made = request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span), name="answer",
        start_time_unix_nano=1_795_000_000_000_000_000, end_time_unix_nano=1_795_000_001_000_000_000,
    )  # fmt: skip
    for name, value in attributes.items():
        made.attributes.add(key=name).value.string_value = value
    return request.SerializeToString()


def with_key(call: Mapping[str, Any], key: str) -> Any:
    """The body as it would have been with this key."""
    return json.loads(json.dumps(call["body"]).replace("test-key", key))


def same_shape(answer: Any, recorded: Any, at: str = "") -> None:
    """Every key that was in the recorded answer is in ours, with a value of the same type."""
    if isinstance(recorded, dict):
        assert isinstance(answer, dict), at
        for name, value in recorded.items():
            if name not in LOOKED_UP_ONLY:
                assert name in answer, f"{at}.{name}"
                same_shape(answer[name], value, f"{at}.{name}")
    elif isinstance(recorded, list):
        assert isinstance(answer, list), at
        assert len(answer) == len(recorded), at
        for index, (one, other) in enumerate(zip(answer, recorded, strict=True)):
            same_shape(one, other, f"{at}[{index}]")
    elif recorded is not None:
        wanted = (int, float) if type(recorded) in (int, float) else type(recorded)
        assert isinstance(answer, wanted), f"{at}: {answer!r} instead of {recorded!r}"


@pytest.mark.parametrize(
    "path", ["/projects/resolve/", "/projects/resolve", "/v1/projects/resolve/", "/v1/projects/resolve"]
)
def test_a_project_is_resolved_to_its_name_by_either_path_with_and_without_a_slash(server: Server, path: str) -> None:
    status, answer = server.call(path, {"project_name": "Kundendienst Süd"})
    assert (status, answer) == (200, {"project_id": quote("Kundendienst Süd"), "project_created": False})


def test_the_recorded_resolve_is_answered_in_its_shape(server: Server) -> None:
    (call,) = calls("v0.22.2_quickstart.jsonl", "/projects/resolve/")
    status, answer = server.call(call["path"], call["body"])
    assert status == 200
    same_shape(answer, call["reply"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/projects/resolve/", {"project_name": "p"}),
        ("/add_to_run_eval_queue/examples", {}),
        ("/log_eval_results/", {}),
        ("/v1/projects/p/eval-queue/examples", {}),
    ],
)
def test_a_wrong_key_is_answered_401_with_detail(server: Server, path: str, body: object) -> None:
    status, answer = server.call(path, body, key="test-key")
    assert status == 401
    assert "the key is not known" in answer["detail"]
    assert answer["detail"] == answer["message"]


def test_a_project_that_the_key_may_not_use_is_403(server: Server) -> None:
    key = make_key(server.bridge.settings, projects=("mine",))
    wait_known(server.bridge, key)
    status, answer = server.call("/projects/resolve/", {"project_name": "theirs"}, key=key)
    assert (status, "'theirs'" in answer["detail"]) == (403, True)


def test_a_queued_evaluation_becomes_an_example_with_its_scorer_and_its_span(server: Server) -> None:
    (call,) = calls("v0.22.2_quickstart.jsonl", "/add_to_run_eval_queue/examples")
    status, answer = server.call(call["path"], call["body"])
    assert status == 200
    same_shape(answer, call["reply"])
    assert answer["unknown_scorers"] == ["Package Inquiry Scorer"]
    sent = call["body"]["examples"][0]
    (example,) = [one for one in server.examples() if one.example_id == sent["example_id"]]
    assert json.loads(example.fields) == {"request": sent["request"], "response": sent["response"]}
    assert [(ref.scorer, ref.threshold) for ref in example.scorers] == [("Package Inquiry Scorer", 0.5)]
    assert (example.project, example.origin, example.run_id) == ("customer_service", "online", "")
    assert (example.trace_id, example.span_id) == (call["body"]["trace_id"], call["body"]["trace_span_id"])


def test_the_newer_path_names_the_project_by_the_id_that_it_was_given(server: Server) -> None:
    (call,) = calls("v0.22.2_quickstart.jsonl", "/add_to_run_eval_queue/examples")
    run = {name: value for name, value in call["body"].items() if name not in ("project_name", "id")}
    run["examples"] = [{"example_id": "newer", "created_at": "", "request": "q"}]
    run["judgment_scorers"], run["custom_scorers"] = [{"name": "polite", "strict_mode": True}], []
    for path in (
        "Kundendienst%20S%C3%BCd",
        "Kundendienst%2520S%25C3%25BCd",
    ):  # 0.26 sends it as it is, 1.x encodes it once more
        status, _ = server.call(f"/v1/projects/{path}/eval-queue/examples", run)
        assert status == 200
    found = [one for one in server.examples() if one.example_id == "newer"]
    assert {one.project for one in found} == {"Kundendienst Süd"}
    assert [(ref.scorer, ref.threshold) for ref in found[0].scorers] == [("polite", 1.0)]


def test_a_prompt_scorer_brings_no_key_and_no_organization_along(server: Server) -> None:
    queued = calls("v0.22.2_features.jsonl", "/add_to_run_eval_queue/examples")
    assert any("judgment_api_key" in json.dumps(call["body"]) for call in queued)
    for call in queued:
        assert server.call(call["path"], with_key(call, server.key))[0] == 200
    written = b"".join(value for value, _ in records(server.bridge.settings, Topic.EXAMPLES))
    assert b"Reply Quality" in written
    assert b"Faithfulness" in written
    assert server.key.encode() not in written
    assert b"test-org" not in written


def test_verdicts_made_elsewhere_become_the_verdicts_of_an_experiment(server: Server) -> None:
    call = calls("v0.22.2_evals.jsonl", "/log_eval_results/")[0]
    status, answer = server.call(call["path"], call["body"])
    assert status == 200
    same_shape(answer, call["reply"])
    run = call["body"]["run"]["id"]
    found = [one for one in server.examples() if one.run_id == run]
    assert sorted((v.scorer, v.value, v.threshold, v.reason) for one in found for v in one.verdicts) == [
        ("Len", 0.2, 0.5, "r"),
        ("Len", 1.0, 0.5, "r"),
    ]
    assert {one.origin for one in found} == {"experiment"}


def test_newer_verdicts_are_numbers_truths_or_labels(server: Server) -> None:
    results = [
        {
            "scorers_data": [{"scorer_name": f"s{place}", "value": value, "reason": "r", "error": None}],
            "data_object": {"example_id": f"kind-{place}", "created_at": "", "input": "i"},
        }
        for place, value in enumerate((0.25, True, "rude"))
    ]
    status, _ = server.call("/v1/projects/evp/eval-results/examples", {"results": results, "run": {"id": "kinds"}})
    assert status == 200
    found = {one.example_id: one.verdicts[0] for one in server.examples() if one.run_id == "kinds"}
    assert [(found[f"kind-{n}"].value, found[f"kind-{n}"].threshold, found[f"kind-{n}"].label) for n in range(3)] == [
        (0.25, None, ""),
        (1.0, 0.5, ""),
        (None, None, "rude"),
    ]


@pytest.mark.parametrize(
    "body",
    [[], {"id": "r"}, {"id": "r", "examples": ["x"]}, {"examples": []}, {"id": "r", "examples": [], "project_name": 3}],
)
def test_a_body_of_another_form_is_400_with_detail(server: Server, body: object) -> None:
    status, answer = server.call("/add_to_run_eval_queue/examples", body)
    assert status == 400
    assert answer["detail"]


# --- what the api answers -------------------------------------------------------------------------------------------


def test_uploaded_code_is_kept_as_versions_of_a_hosted_scorer(server: Server) -> None:
    first, again, over = calls("v0.22.2_cli_upload.jsonl", "/upload_custom_scorer/")
    assert (first["status"], again["status"], over["status"]) == (200, 409, 200)
    for call in (first, again, over):
        status, answer = server.call(call["path"], call["body"])
        assert status == call["status"]
        same_shape(answer, call["reply"])
    shown = server.call("/api/v1/scorers/Package%20Inquiry%20Scorer", None, "GET")[1]
    assert (shown["type"], shown["project"], shown["code"]) == ("hosted", "", first["body"]["scorer_code"])
    kept = [entry for entry in server.configuration() if entry.kind == "Bundle"]
    assert [entry.name for entry in kept] == [shown["bundle"]]
    assert server.call("/v1/projects/default/scorers/custom/Package%20Inquiry%20Scorer/exists", None, "GET") == (
        200,
        {"exists": True},
    )


def test_a_prompt_scorer_is_saved_looked_for_and_fetched_as_recorded(server: Server) -> None:
    paths = ("/scorer_exists/", "/save_scorer/", "/fetch_scorers/")
    for call in calls("v0.22.2_features.jsonl", *paths):
        status, answer = server.call(call["path"], call["body"])
        assert status == 200
        same_shape(answer, call["reply"])
        told = answer.get("scorers", [answer.get("scorer_response")])
        for one, recorded in zip(
            told, call["reply"].get("scorers", [call["reply"].get("scorer_response")]), strict=True
        ):
            for name in ("name", "prompt", "threshold", "model", "options", "is_trace") if one else ():
                assert one[name] == recorded[name]
    assert server.call("/v1/projects/default/scorers/Reply%20Quality/exists", None, "GET") == (200, {"exists": True})
    status, answer = server.call("/v1/projects/default/scorers?names=Reply%20Quality&is_trace=false", None, "GET")
    assert (status, [one["prompt"] for one in answer["scorers"]]) == (200, ["new {{input}}"])


def test_a_prompt_does_not_take_the_place_of_code(server: Server) -> None:
    (recorded, *_) = calls("v0.22.2_cli_upload.jsonl", "/upload_custom_scorer/")
    body = {**recorded["body"], "scorer_name": "taken"}
    headers = {**HEADERS, "x_project_id": "default"}
    answer = server.bridge.send(
        "/upload_custom_scorer", json.dumps(body).encode(), authorization=f"Bearer {server.key}", **headers
    )
    assert answer[0] == 200
    status, answer = server.call("/save_scorer", {"name": "taken", "prompt": "p", "threshold": 0.5})
    assert (status, "of type hosted" in answer["detail"]) == (409, True)


def test_code_that_cannot_be_built_is_told_in_judgevals_words(server: Server) -> None:
    body = {"scorer_name": "broken", "scorer_code": "x = 1", "requirements_text": None}
    status, answer = server.call("/upload_custom_scorer/", body)
    assert (status, "there is no scorer" in answer["detail"]) == (400, True)


def test_a_key_without_the_scope_is_told_which_one_is_missing(server: Server) -> None:
    key = make_key(server.bridge.settings)
    wait_known(server.bridge, key)
    status, answer = server.call("/upload_custom_scorer/", {"scorer_name": "s", "scorer_code": ""}, key=key)
    assert (status, "scope upload" in answer["detail"]) == (403, True)


def test_an_experiment_is_told_when_its_examples_are_finished(server: Server) -> None:
    log, fetched = calls("v0.22.2_evals.jsonl", "/log_eval_results/", "/fetch_experiment_run/")[0::2][:2]
    asked = {"experiment_run_id": log["body"]["run"]["id"], "project_name": log["body"]["run"]["project_name"]}
    assert server.call("/fetch_experiment_run/", {**asked, "experiment_run_id": "none"})[1]["results"] == []
    assert server.call(log["path"], log["body"])[0] == 200

    def answer() -> Any:
        status, told = server.call("/fetch_experiment_run/", asked)
        assert status == 200
        return told

    server.installation.until(lambda: len(answer()["results"]) == 2)
    told = answer()
    same_shape(told, fetched["reply"])
    by_input = {one["data"]["input"]: one["scorers"][0] for one in told["results"]}
    assert {
        name: (one["score"], one["success"], one["threshold"], one["reason"]) for name, one in by_input.items()
    } == {
        "a": (1.0, True, 0.5, "r"),
        "b": (0.2, False, 0.5, "r"),
    }
    assert server.call(f"/v1/projects/evp/experiments/{asked['experiment_run_id']}", None, "GET")[1] == told
    assert server.call(told["ui_results_url"].removeprefix("http://vedette.example"), None, "GET")[1] == told


def test_datasets_are_made_pulled_added_to_and_listed_as_recorded(server: Server) -> None:
    paths = [f"/datasets/{what}_for_judgeval/" for what in ("create", "pull", "insert_examples", "pull_all")]
    for call in calls("v0.22.2_evals.jsonl", *paths):
        status, answer = server.call(call["path"], call["body"])
        assert status == 200
        if call["path"].startswith("/datasets/pull"):
            same_shape(answer, call["reply"])
        if call["path"] == "/datasets/pull_all_for_judgeval/":
            assert {frozenset(one) for one in answer} == {frozenset(one) for one in call["reply"]}
    (create,) = calls("v0.22.2_evals.jsonl", "/datasets/create_for_judgeval/")
    sent = create["body"]["examples"][0]
    _, pulled = server.call("/datasets/pull_for_judgeval", {"dataset_name": "ds", "project_name": "evp"})
    first = pulled["examples"][0]
    assert first["example_id"] == sent["example_id"]
    assert first["data"] == {
        name: value for name, value in sent.items() if name not in ("example_id", "created_at", "name")
    }
    status, answer = server.call("/datasets/pull_for_judgeval/", {"dataset_name": "none", "project_name": "evp"})
    assert (status, "no dataset 'none'" in answer["detail"]) == (404, True)


def test_newer_datasets_have_a_schema_versions_and_pages(server: Server) -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    examples = [{"example_id": f"e{n}", "created_at": "", "q": f"q{n}"} for n in range(3)]
    new = {"name": "newer", "schema": schema, "examples": examples, "dataset_kind": "example", "overwrite": False}
    status, made = server.call("/v1/projects/evp/datasets", new)
    assert (status, made["dataset"]["name"], made["dataset"]["entries"]) == (200, "newer", 3)
    assert server.call("/v1/projects/evp/datasets", new)[0] == 409
    status, more = server.call(
        "/v1/projects/evp/datasets/newer/examples", {"examples": [{"example_id": "e3", "q": "q3"}]}
    )
    assert (status, more["example_ids"], more["version_added"] >= made["version_added"]) == (200, ["e3"], True)
    assert (
        server.call("/v1/projects/evp/datasets/newer/examples", {"examples": [{"example_id": "e4", "q": 4}]})[0] == 400
    )
    status, got = server.call("/v1/projects/evp/datasets/newer", None, "GET")
    assert (status, got["schema"], [one["q"] for one in got["examples"]]) == (200, schema, ["q0", "q1", "q2", "q3"])
    assert server.call("/v1/projects/evp/datasets/newer/page?limit=2", None, "GET")[1]["metadata"]["hasMore"] is True
    status, told = server.call("/v1/projects/evp/datasets/newer/versions", None, "GET")
    assert (status, [one["item_count"] for one in told["versions"]]) == (200, [4, 3])
    assert server.call("/v1/projects/evp/datasets/newer", None, "DELETE")[0] == 200
    assert server.call("/v1/projects/evp/datasets/newer", None, "GET")[0] == 404


def test_a_prompt_is_committed_tagged_and_fetched_as_recorded(server: Server) -> None:
    insert, fetch, versions = calls(
        "v0.22.2_evals.jsonl", "/prompts/insert/", "/prompts/fetch/", "/prompts/get_prompt_versions/"
    )
    named = {"project_id": "evp", "name": "sys"}
    status, first = server.call("/prompts/insert/", {**insert["body"], "project_id": "evp"})
    assert status == 200
    same_shape(first, insert["reply"])
    _, second = server.call("/v1/projects/evp/prompts", {"name": "sys", "prompt": "Hello {{who}}", "tags": []})
    assert second["parent_commit_id"] == first["commit_id"]

    def fetched(query: str = "") -> Any:
        return server.call(f"/prompts/fetch/?project_id=evp&name=sys{query}", None, "GET")[1]["commit"]

    same_shape(fetched("&tag=prod"), fetch["reply"]["commit"])
    assert (fetched("&tag=prod")["prompt"], fetched()["prompt"]) == ("Hi {{who}}", "Hello {{who}}")
    assert server.call("/prompts/tag/", {**named, "commit_id": second["commit_id"], "tags": ["prod"]}) == (
        200,
        {"commit_id": second["commit_id"]},
    )
    assert (fetched("&tag=prod")["prompt"], fetched("&tag=prod")["tags"]) == ("Hello {{who}}", ["prod"])
    assert fetched(f"&commit_id={first['commit_id']}")["tags"] == []
    told = server.call("/v1/projects/evp/prompts/sys/versions", None, "GET")[1]["versions"]
    assert [one["commit_id"] for one in told] == [second["commit_id"], first["commit_id"]]
    same_shape(told[:1], versions["reply"]["versions"][:1])
    assert server.call("/prompts/untag/", {**named, "tags": ["prod", "none"]})[1] == {
        "commit_ids": [second["commit_id"]]
    }
    assert fetched("&tag=prod") is None
    assert server.call("/prompts/tag/", {**named, "commit_id": "abc", "tags": ["x"]})[0] == 404
    assert server.call("/prompts/fetch/?project_id=evp&name=nobody", None, "GET") == (200, {"commit": None})


def test_tags_of_a_trace_show_on_it_whether_they_come_before_or_after_its_spans(server: Server) -> None:
    trace, span = "0123456789abcdef" * 2, "0123456789abcdef"
    assert server.call(f"/v1/projects/tags/traces/{trace}/tags", {"tags": ["early", "early"]})[0] == 200
    assert server.bridge.export(ended(trace, span), server.key, x_vedette_project="tags")[0] == 200
    sent = {"project_name": "tags", "trace_id": trace, "tags": "late"}
    assert server.call("/traces/tags/add/", sent)[0] == 200
    statement = "SELECT tags FROM {ours:Identifier}.traces WHERE project = 'tags'"
    server.installation.until(lambda: server.rows(statement) == [(["early", "late"],)])
    status, answer = server.call("/v1/projects/tags/traces/0af7/tags", {"tags": ["x"]})
    assert (status, "trace_id" in answer["detail"]) == (400, True)


def test_an_evaluation_of_a_stored_span_becomes_an_example_of_what_it_said(server: Server) -> None:
    trace, span = "fedcba9876543210" * 2, "fedcba9876543210"
    told = ended(trace, span, **{"vedette.input": "why?", "vedette.output": "because", "vedette.agent": "Clerk"})
    assert server.bridge.export(told, server.key, x_vedette_project="evp")[0] == 200
    run = {
        "id": "run-of-traces", "project_name": "evp", "eval_name": "e", "custom_scorers": [],
        "judgment_scorers": [{"score_type": "Trace Prompt Scorer", "name": "Clear", "threshold": 0.7}],
        "trace_and_span_ids": [[trace, span]], "is_offline": False,
    }  # fmt: skip
    assert server.call("/add_to_run_eval_queue/traces/", run)[0] == 200
    (example,) = [one for one in server.examples() if one.span_id == span]
    assert json.loads(example.fields) == {"input": "why?", "output": "because"}
    assert (example.trace_id, example.agent, example.origin) == (trace, "Clerk", "online")
    assert [(ref.scorer, ref.threshold) for ref in example.scorers] == [("Clear", 0.7)]


def test_without_the_api_ingest_goes_on_and_the_rest_tells_what_is_missing(server: Server) -> None:
    own = {"api_url": f"http://127.0.0.1:{free_port()}", "otlp_http_port": free_port()}
    alone = Server(start_bridge(server.bridge.settings.model_copy(update=own)), server.installation, server.key)
    try:
        assert alone.call("/projects/resolve/", {"project_name": "p"})[0] == 200
        (queued,) = calls("v0.22.2_quickstart.jsonl", "/add_to_run_eval_queue/examples")
        assert alone.call(queued["path"], queued["body"])[0] == 200
        status, answer = alone.call("/scorer_exists/", {"name": "polite"})
        assert (status, "the api job does not answer" in answer["detail"]) == (503, True)
    finally:
        assert stop_bridge(alone.bridge) == 0
