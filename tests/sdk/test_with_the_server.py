"""Evaluations, datasets and the programs of docs/sdk.md and docs/opentelemetry.md, against a real bridge, a real api and the jobs behind them."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from vedette import Dataset, Example, ExampleScorer, VedetteClient, files
from vedette.api import ServerError

from tests.support.model import answering, chat
from tests.support.pages import blocks
from tests.support.served import Served, served

pytestmark = pytest.mark.integration

MENTIONS = {"type": "contains", "with": {"field": "output", "any": ["parcel"]}, "threshold": 0.5}


class Length(ExampleScorer):
    """Passes what is longer than two characters."""

    async def a_score_example(self, example: Any) -> float:
        await asyncio.sleep(0)
        self.reason = f"{len(example.output)} characters"
        return 1.0 if len(example.output) > 2 else 0.2


@pytest.fixture(scope="module")
def server(kafka: str, clickhouse: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(kafka, clickhouse, tmp_path_factory.mktemp("offline")) as server:
        server.installation.configure("Scorer", "Mentions", MENTIONS, "shop")
        server.installation.configure(
            "Scorer", "Mentions the parcel", {**MENTIONS, "with": {"field": "response", "any": ["parcel"]}}, "shop"
        )
        server.installation.in_effect()
        yield server


@pytest.fixture(autouse=True)
def environment(server: Served, no_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_API_URL", server.url)
    monkeypatch.setenv("VEDETTE_API_KEY", server.key)
    monkeypatch.setenv("VEDETTE_PROJECT", "shop")


def test_scorers_of_ones_own_and_of_the_server_judge_a_run_and_its_results_are_kept(
    server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = [Example(input="a", output="the parcel"), {"input": "b", "output": "x"}]
    results = VedetteClient().run_evaluation(examples, [Length(), "Mentions"], eval_run_name="lengths")
    assert [one.success for one in results] == [True, False]
    told = [[(s.name, s.outcome, s.score, s.threshold) for s in one.scorers_data] for one in results]
    assert told == [
        [("Length", "pass", 1.0, 0.5), ("Mentions", "pass", 1.0, 0.5)],
        [("Length", "fail", 0.2, 0.5), ("Mentions", "fail", 0.0, 0.5)],
    ]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "run 'lengths' in project shop: 1 of 2 examples passed" in printed.err
    assert "\r" not in printed.err  # stderr is no terminal: it gets no bar
    kept = f"WHERE project = 'shop' AND run_id = '{results.run_id}'"
    assert results.run_id.startswith("lengths-")
    assert server.rows(f"SELECT scorer, outcome, origin, reason != '' FROM {{ours:Identifier}}.scores FINAL {kept} ORDER BY scorer, outcome") == [
        ("Length", "fail", "experiment", True),
        ("Length", "pass", "experiment", True),
        ("Mentions", "fail", "experiment", True),
        ("Mentions", "pass", "experiment", True),
    ]  # fmt: skip
    assert server.rows(f"SELECT count() FROM {{ours:Identifier}}.examples FINAL {kept} AND origin = 'experiment'") == [
        (2,)
    ]


def test_a_failed_assertion_tells_example_scorer_value_threshold_and_reason(server: Served) -> None:
    with pytest.raises(AssertionError) as raised:
        VedetteClient().run_evaluation(
            [Example(example_id="short one", input="b", output="x"), Example(input="a", output="long")],
            [Length(threshold=0.7)],
            eval_run_name="lengths",
            assert_test=True,
        )
    told = str(raised.value).splitlines()
    assert told[:3] == [
        "run 'lengths' in project shop: 1 of 2 examples passed",
        "  example 1 (short one): input='b' output='x'",
        "    fail: Length: 0.2 < 0.7: 1 characters",
    ]
    assert "/api/v1/experiments/lengths-" in told[3]
    assert len(told) == 4


def test_a_scorer_that_nobody_made_is_told_before_anything_is_sent(server: Served) -> None:
    with pytest.raises(ValueError, match=r"project shop has no scorer 'Mentoins' \(there are: Mentions, "):
        VedetteClient().run_evaluation([{"output": "x"}], ["Mentoins"])


def test_a_key_that_may_not_read_results_is_told_which_scope_is_missing(server: Served) -> None:
    client = VedetteClient(api_key=server.new_key("ingest"), api_url=server.url)
    with pytest.raises(ServerError, match="scope read"):
        client.run_evaluation([{"output": "x"}], ["Mentions"])
    client.run_evaluation([{"output": "long"}], [Length], assert_test=True, show=False)


def test_examples_are_judged_at_once_also_by_scorers_that_block() -> None:
    together, most = threading.Semaphore(0), [0, 0]

    class Blocks(ExampleScorer):
        def a_score_example(self, _: Any) -> float:
            most[0] += 1
            most[1] = max(most)
            together.release()
            time.sleep(0.05)
            most[0] -= 1
            return 1.0

    VedetteClient().run_evaluation([{"n": n} for n in range(8)], [Blocks], max_concurrent=4, show=False)
    assert 1 < most[1] <= 4


async def test_an_evaluation_inside_a_running_event_loop(server: Served) -> None:
    results = VedetteClient().run_evaluation([{"output": "long"}], [Length], show=False)
    assert results.success


def test_a_scorer_that_raises_returns_nothing_or_lacks_a_field_did_not_pass(server: Served) -> None:
    class Raises(ExampleScorer):
        async def a_score_example(self, _: Any) -> float:
            raise KeyError("output")

    class Nothing(ExampleScorer):
        async def a_score_example(self, _: Any) -> float:
            return None

    needs = Length(name="Needs", required_params=["context"])
    (result,) = VedetteClient().run_evaluation([{"output": "long"}], [Raises, Nothing, needs], show=False)
    assert [(one.outcome, one.error) for one in result.scorers_data] == [
        ("error", "KeyError: 'output'"),
        ("error", "ValueError: a_score_example returned None; it must return a number from 0 to 1"),
        ("skipped", "the example lacks context"),
    ]
    assert not result.success


@pytest.mark.parametrize(
    ("examples", "scorers", "told"),
    [
        ([], [Length], "0 examples"),
        ([{"output": "x"}], [], "one scorer at least"),
        ({"output": "x"}, [Length], "examples must be a list"),
        ([{"output": "x"}], [dict], "is no scorer"),
        ([{"example_id": "a", "output": "x"}] * 2, [Length], "two examples have the id 'a'"),
    ],
)
def test_arguments_that_are_wrong_are_named(examples: Any, scorers: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        VedetteClient().run_evaluation(examples, scorers)


def test_without_a_server_scorers_of_ones_own_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VEDETTE_API_URL")
    results = VedetteClient().run_evaluation([{"output": "long"}], [Length])
    assert (results.success, results.url) == (True, "")
    assert "results are not kept: no complete pair of URL and key was found" in capsys.readouterr().err
    with pytest.raises(ValueError, match="set VEDETTE_API_URL"):
        VedetteClient().run_evaluation([{"output": "long"}], ["Mentions"])


# --- datasets -------------------------------------------------------------------------------------------------------


def test_a_dataset_is_made_read_added_to_and_read_again_as_it_was(server: Served) -> None:
    made = Dataset.create("golden", examples=[Example(q=f"q{n}", n=n) for n in range(5)], description="by hand")
    first = Dataset.get("golden")
    assert [one.q for one in first] == [f"q{n}" for n in range(5)]
    assert (first.version, first.description, len(first)) == (made.version, "by hand", 5)
    time.sleep(0.002)  # a version is a millisecond
    first.add_examples([{"example_id": "x", "q": "new"}])
    time.sleep(0.002)
    changed = Dataset.get("golden")
    changed.add_examples([{"example_id": "x", "q": "newer"}])
    time.sleep(0.002)
    changed.remove(made.examples[0].example_id)
    now = Dataset.get("golden")
    assert [one.q for one in now] == ["q1", "q2", "q3", "q4", "newer"]
    assert [one.q for one in Dataset.get("golden", version=first.version)][-1] == "new"
    assert len(Dataset.get("golden", version=made.version)) == 5
    assert len(now.versions()) == 4
    assert now.versions()[-1] == made.version
    (info,) = [one for one in Dataset.list() if one.name == "golden"]
    assert (info.entries, info.version) == (5, now.version)
    VedetteClient().run_evaluation(now.examples, [type("Any", (Length,), {"a_score_example": _fine})], show=False)
    now.delete()
    assert [one.name for one in Dataset.list() if one.name == "golden"] == []


async def _fine(self: Any, example: Any) -> float:
    return 1.0


def test_adding_the_same_again_changes_nothing(server: Served) -> None:
    examples = [Example(q="a"), Example(q="b")]
    Dataset.create("again", examples=examples)
    dataset = Dataset.get("again")
    dataset.add_examples(examples)
    assert (len(Dataset.get("again")), len(dataset), len(dataset.versions())) == (2, 2, 1)


def test_a_name_that_is_taken_is_refused_unless_it_is_to_be_replaced(server: Served) -> None:
    Dataset.create("taken", examples=[{"q": "old"}])
    with pytest.raises(ServerError, match="there is a dataset 'taken' in project shop"):
        Dataset.create("taken", examples=[{"q": "new"}])
    Dataset.create("taken", examples=[{"q": "new"}], overwrite=True)
    assert [one.q for one in Dataset.get("taken")] == ["new"]


def test_an_example_that_does_not_fit_the_schema_is_named_and_nothing_is_added(server: Served) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    dataset = Dataset.create("strict", schema=schema)
    with pytest.raises(ServerError, match=r"item 'two': fields\.n: .*integer"):
        dataset.add_examples([{"example_id": "one", "n": 1}, {"example_id": "two", "n": "2"}])
    assert (len(Dataset.get("strict")), Dataset.get("strict").schema) == (0, schema)


def test_what_is_not_there_and_what_a_key_may_not_do_is_told(server: Served) -> None:
    with pytest.raises(ServerError, match="project shop has no dataset 'none'"):
        Dataset.get("none")
    with pytest.raises(ServerError, match="scope develop"):
        Dataset.create("mine", api_url=server.url, api_key=server.new_key("read"))
    with pytest.raises(ServerError, match="may use other, not project shop"):
        Dataset.list(api_url=server.url, api_key=server.new_key("read", projects=("other",)))


def test_examples_go_to_files_of_every_form_and_come_back(tmp_path: Path) -> None:
    given = [
        Example(example_id="1", name="first", question='say "hi"\nthen ü', tags=["a", "b"], nested={"n": [1]}),
        Example(example_id="2", question="007"),
    ]
    dataset = Dataset("files", "shop", given)
    for form in ("json", "jsonl", "yaml", "csv"):
        file = dataset.save_as(form, tmp_path / "exports")  # type: ignore[arg-type]
        assert file == tmp_path / "exports" / f"files.{form}"
        found = files.read(file)
        assert [(one.example_id, one.name, one.get_fields()) for one in found] == [
            (one.example_id, one.name, one.get_fields()) for one in given
        ]


def test_a_file_is_added_to_a_dataset(server: Served, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("question,n\nwhy?,1\n")
    dataset = Dataset.create("from a file")
    dataset.add_from_csv(tmp_path / "more.csv")
    assert [one.get_fields() for one in Dataset.get("from a file")] == [{"question": "why?", "n": "1"}]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", '{"examples": 3}', r"a\.json: it must hold a list of examples"),
        ("a.json", "[1]", r"a\.json: example 1 is 1; it must be an object"),
        ("a.jsonl", '{"a": 1}\n{"a"', r"a\.jsonl: line 2: "),
        ("a.yaml", "- {", r"a\.yaml: "),
        ("a.txt", "", "there are json, jsonl, yaml, csv"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=told):
        Dataset("d", "shop").add_from_file(tmp_path / name)


def test_without_pyyaml_the_error_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "a.yaml").write_text("[]")
    with pytest.raises(ModuleNotFoundError, match="pip install pyyaml"):
        Dataset("d", "shop").add_from_file(tmp_path / "a.yaml")


# --- the pages ------------------------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"
SDK, PLAIN = (blocks(DOCS / name) for name in ("sdk.md", "opentelemetry.md"))


def program(server: Served, folder: Path, source: str, *, code: int = 0, bash: str = "") -> str:
    """Runs a program of a page as its reader does, with the variables that the page tells; returns what it printed."""
    (folder / "app.py").write_text(source)
    with answering(chat("The parcel is on its way.")) as provider:
        told = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "VEDETTE_API_URL": server.url, "VEDETTE_API_KEY": server.key,
            "OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": provider,
        }  # fmt: skip
        command = (
            ["bash", "-ec", bash.replace("http://127.0.0.1:4318", server.url)] if bash else [sys.executable, "app.py"]
        )
        done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def spans(server: Served, where: str) -> list[tuple[Any, ...]]:
    return server.rows(f"SELECT name, kind, agent, session_id, customer_id, environment, model, input_tokens FROM {{ours:Identifier}}.spans FINAL WHERE project = 'shop' AND {where} ORDER BY start_time")  # fmt: skip


def test_the_page_of_the_sdk_has_a_program_for_every_chapter() -> None:
    assert [title for title, language, _ in SDK if language == "python"] == [
        "An agent", "Judging while the agent runs", "Judging while the agent runs", "Before a release", "Datasets", "Several processes",
        "Off, hidden, bounded",
    ]  # fmt: skip


def test_the_agent_of_the_page(server: Served, tmp_path: Path) -> None:
    (agent,) = [source for title, _, source in SDK if title == "An agent"]
    assert program(server, tmp_path, agent) == "The parcel is on its way.\n"
    context = ("CustomerServiceAgent", "session-1", "cust-7", "production")
    where = "customer_id = 'cust-7'"
    server.installation.until(lambda: len(spans(server, where)) == 2)
    run, call = spans(server, where)
    assert (run[0], run[2:6]) == ("CustomerServiceAgent.run", context)
    assert (call[1], call[2:6], call[6:]) == ("llm", context, ("gpt-5-mini-2025-08-07", 21))
    statement = (
        "SELECT scorer, outcome, agent, sampling_rate FROM {ours:Identifier}.scores FINAL WHERE customer_id = 'cust-7'"
    )
    server.installation.until(lambda: len(server.rows(statement)) == 1)
    assert server.rows(statement) == [("Mentions the parcel", "pass", "CustomerServiceAgent", 0.95)]


def test_the_other_programs_of_the_page_run_as_they_stand(server: Served, tmp_path: Path) -> None:
    for title, _, source in [block for block in SDK if block[1] == "python" and block[0] != "An agent"]:
        printed = program(server, tmp_path, source)
        if title == "Datasets":
            assert printed.startswith("['And when?']\n2 [")
    paid = "SELECT input FROM {ours:Identifier}.spans FINAL WHERE name = 'pay'"
    server.installation.until(lambda: server.rows(paid) == [("card **** ****",)])
    statement = "SELECT uniqExact(trace_id), groupUniqArray(agent) FROM {ours:Identifier}.spans FINAL WHERE name IN ('planner', 'work')"
    server.installation.until(lambda: server.rows(statement) == [(1, ["planner"])])


def test_opentelemetrys_own_sdk_with_the_variables_of_the_page(server: Served, tmp_path: Path) -> None:
    (variables,) = [text for title, _, text in PLAIN if title == "Variables alone"]
    (source,) = [text for title, _, text in PLAIN if title == "OpenTelemetry's Python SDK"]
    program(server, tmp_path, source, bash=f"{variables}\npython app.py")
    where = "session_id = 'session-1' AND agent = 'Clerk'"
    server.installation.until(lambda: len(spans(server, where)) == 2)
    assert [(one[1], one[5], one[6], one[7]) for one in spans(server, where)] == [
        ("agent", "production", "", None),
        ("llm", "production", "gpt-5-mini", 21),
    ]
    said = server.rows(f"SELECT input, output FROM {{ours:Identifier}}.spans FINAL WHERE kind = 'llm' AND {where}")
    assert ["Where is it?" in said[0][0], "On its way." in said[0][1]] == [True, True]


def test_curl_sends_a_span_and_an_example_that_is_judged(server: Served, tmp_path: Path) -> None:
    span, example = [text for title, _, text in PLAIN if title == "Nothing but HTTP"]
    program(server, tmp_path, "", bash=span)
    told = json.loads(program(server, tmp_path, "", bash=example))
    assert told == {"accepted": 1, "ids": ["order-1001"], "rejected": [], "unknown_scorers": []}
    server.installation.until(lambda: len(spans(server, "span_id = 'eee19b7ec3c1b174' AND agent = 'Clerk'")) == 1)
    statement = "SELECT outcome, agent FROM {ours:Identifier}.scores FINAL WHERE subject_id = 'order-1001'"
    server.installation.until(lambda: server.rows(statement) == [("pass", "Clerk")])


def test_the_collector_of_the_page_sends_what_the_page_of_collectors_tells() -> None:
    (told,) = [YAML(typ="safe").load(text) for title, _, text in PLAIN if title == "A Collector"]
    ways = [
        YAML(typ="safe").load(text) for title, language, text in blocks(DOCS / "collector.md") if language == "yaml"
    ]
    (exporter,) = [way["exporters"]["otlp_http/vedette"] for way in ways if "otlp_http/vedette" in way["exporters"]]
    assert told["exporters"]["otlp_http/vedette"]["headers"] == exporter["headers"]
    assert told["service"]["pipelines"]["traces"] == {"receivers": ["otlp"], "exporters": ["otlp_http/vedette"]}
