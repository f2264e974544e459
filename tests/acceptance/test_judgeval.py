"""Unmodified releases of judgeval report to the whole system: only JUDGMENT_API_URL, JUDGMENT_API_KEY and JUDGMENT_ORG_ID are set.

Each release is installed into an environment of its own; the model is a local server that speaks OpenAI's protocol.
"""

import json
import os
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.codec import Schemas
from schemas.later import LaterRequest
from schemas.topics import Topic
from tests.support.bridge import records
from tests.support.model import answering, chat
from tests.support.system import System, running, until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

SEED = "0.22.2"
BETWEEN = "0.32.0"
CURRENT = "1.6.0"

SCORER_PY = '''
from judgeval.data import Example
from judgeval.scorers.example_scorer import ExampleScorer
from openai import OpenAI

class CustomerRequest(Example):
    request: str
    response: str

class PackageInquiryScorer(ExampleScorer):
    name: str = "Package Inquiry Scorer"
    server_hosted: bool = True

    async def a_score_example(self, example: CustomerRequest):
        client = OpenAI()
        evaluation_prompt = f"""
        Evaluate if the customer service response adequately addresses a package inquiry.
        Customer request: {example.request}
        Agent response: {example.response}
        Does the response address package-related concerns? Answer only "YES" or "NO".
        """
        completion = client.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "user", "content": evaluation_prompt}]
        )
        evaluation = completion.choices[0].message.content.strip().upper()
        if evaluation == "YES":
            self.reason = "Response appropriately addresses package inquiry"
            return 1.0
        else:
            self.reason = "Response doesn't adequately address package inquiry"
            return 0.0
'''

QUICKSTART = """
from judgeval.tracer import Tracer, wrap
from openai import OpenAI
from customer_service_scorer import PackageInquiryScorer, CustomerRequest

judgment = Tracer(project_name="customer_service")
client = wrap(OpenAI())

class CustomerServiceAgent:
    @judgment.observe(span_type="tool")
    def handle_request(self, request: str) -> str:
        completion = client.chat.completions.create(
            model="gpt-5-mini",
            messages=[
                {"role": "system", "content": "You are a helpful customer service agent."},
                {"role": "user", "content": request}
            ]
        )
        response = completion.choices[0].message.content

        # Evaluate behavior with server-hosted scorer
        judgment.async_evaluate(
            scorer=PackageInquiryScorer(),
            example=CustomerRequest(request=request, response=response),
            sampling_rate=0.95
        )
        return response

    @judgment.agent()
    @judgment.observe(span_type="function")
    def run(self, request: str) -> str:
        return self.handle_request(request)

agent = CustomerServiceAgent()
result = agent.run("Where is my package? I ordered it last week.")
print(result)
"""

SAMPLED = "import random, runpy; random.uniform = lambda low, high: 0.5; runpy.run_path('main.py')"
"""The quickstart asks for 95 % of requests, and judgeval draws lots: this one is drawn."""

MENTIONS = """
apiVersion: vedette/v1
kind: Scorer
metadata: {name: Mentions, project: customer_service}
spec: {type: contains, with: {field: output, any: [long]}}
"""

OFFLINE = """
import judgeval.evaluation
from judgeval import JudgmentClient
from judgeval.data import Example
from judgeval.scorers import PromptScorer
from judgeval.scorers.example_scorer import ExampleScorer

class Length(ExampleScorer):
    name: str = "Length"
    async def a_score_example(self, example):
        self.reason = "by its length"
        return 1.0 if len(example.output) > 2 else 0.2

examples = [Example(input="a", output="long"), Example(input="b", output="x")]
results = JudgmentClient().run_evaluation(examples, [Length()], project_name="customer_service", eval_run_name="lengths")
assert [result.success for result in results] == [True, False]
print("results as it should be")

scorer = PromptScorer.create(name="Polite", prompt="Is {{output}} polite?", options={"yes": 1.0, "no": 0.0}, model="gpt-5")
scorer.set_threshold(0.8)
found = PromptScorer.get("Polite")
assert (found.threshold, found.options, found.prompt) == (0.8, {"yes": 1.0, "no": 0.0}, "Is {{output}} polite?")
assert PromptScorer.get("nobody") is None
print("prompt scorer as it should be")

class Mentions(ExampleScorer):
    name: str = "Mentions"
    server_hosted: bool = True

judged = JudgmentClient().run_evaluation(examples, [Mentions()], project_name="customer_service", eval_run_name="mentions")
assert {(one.data_object.input, one.success, one.scorers_data[0].score) for one in judged} == {("a", True, 1.0), ("b", False, 0.0)}, judged
print("judged results as it should be")

from judgeval.data.evaluation_run import ExampleEvaluationRun
run = ExampleEvaluationRun(project_name="customer_service", eval_name="r", examples=examples, scorers=[Length()])
judgeval.evaluation.log_evaluation_results([result.model_dump(warnings=False) for result in results], run)
fetched, url = judgeval.evaluation._poll_evaluation_until_complete(run, 2, poll_interval_seconds=0.5)
assert {(one.data_object.input, one.success) for one in fetched} == {("a", True), ("b", False)}, fetched
assert "/experiments/" in url
print("fetched results as it should be")

from judgeval.dataset import Dataset
Dataset.create(name="golden set", project_name="customer_service", examples=examples, overwrite=True)
dataset = Dataset.get(name="golden set", project_name="customer_service")
dataset.add_examples([Example(input="c", output="later")])
again = Dataset.get(name="golden set", project_name="customer_service")
assert [one.input for one in again] == ["a", "b", "c"], again
assert [(one.name, one.entries) for one in Dataset.list("customer_service")] == [("golden set", 3)]
print("dataset as it should be")

from judgeval.prompt import Prompt
first = Prompt.create("customer_service", "greeting", "Hi {{who}}", tags=["prod"])
second = Prompt.create("customer_service", "greeting", "Hello {{who}}")
assert second.parent_commit_id == first.commit_id
assert Prompt.get("customer_service", "greeting", tag="prod").compile(who="Ann") == "Hi Ann"
Prompt.tag("customer_service", "greeting", second.commit_id, ["prod"])
assert Prompt.get("customer_service", "greeting", tag="prod").prompt == "Hello {{who}}"
assert [one.commit_id for one in Prompt.list("customer_service", "greeting")] == [second.commit_id, first.commit_id]
Prompt.untag("customer_service", "greeting", ["prod"])
print("prompt as it should be")
"""

QUEUED = """
from judgeval.v1 import Judgeval
from judgeval.v1.data.example import Example

client = Judgeval(project_name="newer paths")
tracer = client.tracer.create()

@tracer.observe(span_type="agent")
def answer(question):
    tracer.async_evaluate(client.scorers.custom_scorer.get("Mentions"), Example.create(output="as long as it is"))
    return "It is on its way."

print(answer("Where is my package?"))
tracer.force_flush()
"""

SPAN_CARRIED = """
from judgeval import Tracer

Tracer.init(project_name="Kundendienst 24%")

@Tracer.observe(span_type="agent")
def answer(question):
    Tracer.set_customer_id("cust-7")
    Tracer.set_session_id("session-1")
    Tracer.tag(["refund", "premium"])
    Tracer.async_evaluate("Politeness", {"input": question, "actual_output": "It is on its way."})
    return "It is on its way."

print(answer("Where is my package?"))
Tracer.force_flush()

from judgeval import Judgeval
from judgeval.data.example import Example
client = Judgeval(project_name="Kundendienst 24%")
schema = {"type": "object", "properties": {"input": {"type": "string"}}}
dataset = client.datasets.create(name="golden set", schema=schema, examples=[Example.create(input="a")])
dataset.add_examples([Example.create(input="b")])
found = client.datasets.get(name="golden set")
assert [one["input"] for one in found] == ["a", "b"], found
assert (found.schema, len(found.versions())) == (schema, 2)
assert [(one.name, one.entries) for one in client.datasets.list()] == [("golden set", 2)]
made = client.prompts.create(name="greeting", prompt="Hi {{who}}", tags=["prod"])
assert client.prompts.get(name="greeting", tag="prod").compile(who="Ann") == "Hi Ann"
assert client.prompts.tag(name="greeting", commit_id=made.commit_id, tags=["staging"]) == made.commit_id
client.prompts.untag(name="greeting", tags=["prod"])
assert client.prompts.get(name="greeting", tag="prod") is None
found.delete()
print("datasets and prompts as they should be")
"""


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The provider of the agents, and of the scorers that judge them."""
    with answering(chat("Your package is out for delivery.", cached=5)) as url:
        yield url


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[System]:
    provider = {"OPENAI_API_KEY": "sk-local", "OPENAI_BASE_URL": model}
    with running(Path(tmp_path_factory.mktemp("judgeval")) / "data", **provider) as system:
        yield system


def installed(release: str, folder: Path) -> Path:
    """Returns the programs of an environment with a release; JUDGEVAL_VENVS keeps them from run to run."""
    where = Path(os.environ.get("JUDGEVAL_VENVS", folder)) / f"judgeval-{release}"
    if not (where / "bin" / "judgeval").exists():
        venv.create(where, with_pip=True)
        command = [
            str(where / "bin" / "pip"),
            "install",
            "-q",
            f"judgeval=={release}",
            "openai",
            "packaging",
            "pyyaml",  # it needs this and does not ask for it
        ]
        subprocess.run(command, check=True, timeout=600)
    return where / "bin"


def run(system: System, model: str, folder: Path, *command: str | Path, key: str = "", code: int = 0) -> str:
    """Runs a program as its author does, with nothing of ours but the three variables; returns what it printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "OTEL_", "JUDGMENT_"))}
    told = {
        "JUDGMENT_API_URL": system.bridge,
        "JUDGMENT_API_KEY": key or system.key(),
        "JUDGMENT_ORG_ID": "an-organization",
        "OPENAI_API_KEY": "sk-local",
        "OPENAI_BASE_URL": model,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env={**own, **told}, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def waiting(system: System) -> list[LaterRequest]:
    """The evaluations that were put off so far."""
    read = Schemas()
    found = [read.decode(LaterRequest, value) for value, _ in records(system.settings, Topic.SCORE_LATER) if value]
    return [later for later in found if later.request is not None]


def test_the_quickstart_of_the_seed_release_reports_traces_agents_tokens_and_an_evaluation_that_waits(
    system: System, model: str, tmp_path: Path
) -> None:
    programs = installed(SEED, tmp_path)
    (tmp_path / "customer_service_scorer.py").write_text(SCORER_PY)
    (tmp_path / "main.py").write_text(QUICKSTART)
    printed = run(system, model, tmp_path, programs / "python", "-c", SAMPLED)
    assert "Your package is out for delivery." in printed

    where = "WHERE project = 'customer_service'"
    until(lambda: len(system.select(f"SELECT span_id FROM spans FINAL {where}")) == 3)
    columns = "name, kind, agent, model, input_tokens, cached_input_tokens, output_tokens"
    assert system.select(f"SELECT {columns} FROM spans FINAL {where} ORDER BY start_time") == [
        {"name": "CustomerServiceAgent.run", "kind": "chain", "agent": "CustomerServiceAgent", "model": "", "input_tokens": None, "cached_input_tokens": None, "output_tokens": None},
        {"name": "CustomerServiceAgent.handle_request", "kind": "tool", "agent": "CustomerServiceAgent", "model": "", "input_tokens": None, "cached_input_tokens": None, "output_tokens": None},
        {"name": "OPENAI_API_CALL", "kind": "llm", "agent": "CustomerServiceAgent", "model": "gpt-5-mini-2025-08-07", "input_tokens": 21, "cached_input_tokens": 5, "output_tokens": 7},
    ]  # fmt: skip
    (tool,) = system.select(f"SELECT trace_id, span_id FROM spans FINAL {where} AND kind = 'tool'")
    until(lambda: len(system.select(f"SELECT example_id FROM examples FINAL {where}")) == 1)
    (example,) = system.select(f"SELECT * FROM examples FINAL {where}")
    assert {"trace_id": example["trace_id"], "span_id": example["span_id"]} == tool
    assert json.loads(example["fields"])["response"] == "Your package is out for delivery."
    until(lambda: len(waiting(system)) == 1)
    (later,) = waiting(system)
    _, pair, subject = later.asked
    assert (later.project, pair.scorer, pair.threshold) == ("customer_service", "Package Inquiry Scorer", 0.5)
    assert (later.reason, subject.subject_id) == ("no such scorer", example["example_id"])


def test_a_release_between_queues_by_the_newer_paths_and_is_judged(system: System, model: str, tmp_path: Path) -> None:
    programs = installed(BETWEEN, tmp_path)
    (tmp_path / "main.py").write_text(QUEUED)
    system.apply(MENTIONS.replace("customer_service", "newer paths"))
    key = json.loads(
        system.vedette("keys", "create", "--project", "newer paths", "--scope", "ingest,develop", "-o", "json")
    )
    assert "It is on its way." in run(system, model, tmp_path, programs / "python", "main.py", key=key["key"])
    where = "WHERE project = 'newer paths'"
    until(lambda: len(system.select(f"SELECT score_id FROM scores FINAL {where}")) == 1)
    (score,) = system.select(f"SELECT scorer, value, outcome, origin, span_id FROM scores FINAL {where}")
    assert (score["scorer"], score["value"], score["origin"]) == ("Mentions", 1, "online")
    until(
        lambda: len(system.select(f"SELECT span_id FROM spans FINAL {where} AND span_id = '{score['span_id']}'")) == 1
    )


def test_a_current_release_carries_its_evaluations_in_spans(system: System, model: str, tmp_path: Path) -> None:
    programs = installed(CURRENT, tmp_path)
    (tmp_path / "main.py").write_text(SPAN_CARRIED)
    key = json.loads(system.vedette("keys", "create", "--all-projects", "--scope", "ingest,develop,read", "-o", "json"))
    printed = run(system, model, tmp_path, programs / "python", "main.py", key=key["key"])
    assert "It is on its way." in printed
    assert "datasets and prompts as they should be" in printed

    where = "WHERE project = 'Kundendienst 24%'"
    until(lambda: system.select(f"SELECT tags FROM traces {where}") == [{"tags": ["premium", "refund"]}])
    until(lambda: len(system.select(f"SELECT example_id FROM examples FINAL {where}")) == 1)
    (example,) = system.select(f"SELECT * FROM examples FINAL {where}")
    assert json.loads(example["fields"]) == {"input": "Where is my package?", "actual_output": "It is on its way."}
    until(lambda: len(system.select(f"SELECT span_id FROM spans FINAL {where}")) == 1)
    columns = "span_id, kind, agent, customer_id, session_id, toBool(partial) AS partial"
    assert system.select(f"SELECT {columns} FROM spans FINAL {where}") == [
        {"span_id": example["span_id"], "kind": "agent", "agent": "answer", "customer_id": "cust-7", "session_id": "session-1", "partial": False}
    ]  # fmt: skip
    until(lambda: any(later.scorer == "Politeness" for later in waiting(system)))


def test_code_that_the_command_line_uploads_judges_what_waited_for_it(
    system: System, model: str, tmp_path: Path
) -> None:
    programs = installed(SEED, tmp_path)
    (tmp_path / "customer_service_scorer.py").write_text(SCORER_PY)
    (tmp_path / "requirements.txt").write_text("pydantic\nopenai\n")
    scopes = "ingest,upload,develop,read"
    key = json.loads(
        system.vedette("keys", "create", "--project", "customer_service", "--scope", scopes, "-o", "json")
    )["key"]
    upload = (programs / "judgeval", "upload_scorer", "customer_service_scorer.py", "requirements.txt")
    assert "uploaded successfully" in run(system, model, tmp_path, *upload, key=key)
    assert "Duplicate scorer detected" in run(system, model, tmp_path, *upload, key=key, code=1)
    assert "uploaded successfully" in run(system, model, tmp_path, *upload, "--overwrite", key=key)
    system.apply(MENTIONS)
    (tmp_path / "offline.py").write_text(OFFLINE)
    assert run(system, model, tmp_path, programs / "python", "offline.py", key=key).count("as it should be") == 6
    verdict = "SELECT outcome, value, reason FROM scores FINAL WHERE project = 'customer_service' AND scorer = 'Package Inquiry Scorer' AND origin = 'online'"
    until(lambda: len(system.select(verdict)) == 1)
    assert system.select(verdict) == [
        {"outcome": "fail", "value": 0, "reason": "Response doesn't adequately address package inquiry"}
    ]  # the model's answer is not YES


def test_a_wrong_key_leaves_the_program_running(system: System, model: str, tmp_path: Path) -> None:
    programs = installed(SEED, tmp_path)
    (tmp_path / "customer_service_scorer.py").write_text(SCORER_PY)
    (tmp_path / "main.py").write_text(QUICKSTART)
    printed = run(system, model, tmp_path, programs / "python", "main.py", key="no-key-of-ours")
    assert "Your package is out for delivery." in printed
    assert "Failed to resolve or autocreate project customer_service" in printed
