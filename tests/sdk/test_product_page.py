"""The two programs by which the product is introduced, as they are written there."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.server import KEY, Server
from tests.support.model import answering, chat

SCORER = """
from vedette.data import Example
from vedette.scorers.example_scorer import ExampleScorer
from openai import OpenAI

class CustomerRequest(Example):
    request: str
    response: str

class PackageInquiryScorer(ExampleScorer):
    name: str = "Package Inquiry Scorer"
    server_hosted: bool = True

    async def a_score_example(self, example: CustomerRequest):
        client = OpenAI()
        completion = client.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": f"{example.request} {example.response}"}]
        )
        evaluation = completion.choices[0].message.content.strip().upper()
        if evaluation == "YES":
            self.reason = "Response appropriately addresses package inquiry"
            return 1.0
        else:
            self.reason = "Response doesn't adequately address package inquiry"
            return 0.0
"""

AGENT = """
from vedette.tracer import Tracer, wrap
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

MANY = {
    "utils.py": """
from vedette.tracer import Tracer
judgment = Tracer(project_name="multi-agent-system")
""",
    "planning_agent.py": """
from utils import judgment
from research_agent import ResearchAgent
from task_agent import TaskAgent

class PlanningAgent:
    def __init__(self, id):
        self.id = id

    @judgment.agent() # Only add @judgment.agent() to the entry point function of the agent
    @judgment.observe()
    def invoke_agent(self, goal):
        print(f"Agent {self.id} is planning for goal: {goal}")
        research_agent = ResearchAgent("Researcher1")
        task_agent = TaskAgent("Tasker1")
        research_results = research_agent.invoke_agent(goal)
        task_result = task_agent.invoke_agent(research_results)
        return f"Results from planning and executing for goal '{goal}': {task_result}"

    @judgment.observe() # No need to add @judgment.agent() here
    def random_tool(self):
        pass
""",
    "research_agent.py": """
from utils import judgment

class ResearchAgent:
    def __init__(self, id):
        self.id = id

    @judgment.agent()
    @judgment.observe()
    def invoke_agent(self, topic):
        return f"Research notes for topic: {topic}: Findings and insights include..."
""",
    "task_agent.py": """
from utils import judgment

class TaskAgent:
    def __init__(self, id):
        self.id = id

    @judgment.agent()
    @judgment.observe()
    def invoke_agent(self, task):
        result = f"Performed task: {task}, here are the results: Results include..."
        return result
""",
    "main.py": """
from planning_agent import PlanningAgent
if __name__ == "__main__":
    planning_agent = PlanningAgent("planner-1")
    goal = "Build a multi-agent system"
    result = planning_agent.invoke_agent(goal)
    print(result)
""",
}
"""The page's own main calls a method `plan`, which its class does not have."""


@pytest.fixture
def provider() -> Iterator[str]:
    with answering(chat("Your package arrives tomorrow.")) as url:
        yield url


def _run(folder: Path, files: dict[str, str], program: str, **environment: str) -> str:
    for name, source in files.items():
        (folder / name).write_text(source)
    told = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), **environment}
    done = subprocess.run([sys.executable, str(folder / program)], env=told, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_customer_service_agent(server: Server, provider: str, tmp_path: Path) -> None:
    files = {"customer_service_scorer.py": SCORER, "app.py": AGENT}
    printed = _run(
        tmp_path, files, "app.py",
        VEDETTE_API_URL=server.url, VEDETTE_API_KEY=KEY, OPENAI_API_KEY="sk-none", OPENAI_BASE_URL=provider,
    )  # fmt: skip
    assert printed == "Your package arrives tomorrow.\n"
    run, handle = server.span("CustomerServiceAgent.run"), server.span("CustomerServiceAgent.handle_request")
    (chat,) = [span for span in server.spans() if span.span_id not in (run.span_id, handle.span_id)]
    assert (run.parent_id, handle.parent_id, chat.parent_id) == ("", run.span_id, handle.span_id)
    assert {span.attributes["vedette.agent"] for span in (run, handle, chat)} == {"CustomerServiceAgent"}
    assert (chat.attributes["gen_ai.request.model"], chat.attributes["gen_ai.usage.output_tokens"]) == ("gpt-5-mini", 7)
    (example,) = server.examples()
    assert (example["scorers"], example["sampling_rate"], example["agent"]) == (
        ["Package Inquiry Scorer"],
        0.95,
        "CustomerServiceAgent",
    )
    assert (example["trace_id"], example["span_id"]) == (handle.trace_id, handle.span_id)
    assert example["fields"]["response"] == "Your package arrives tomorrow."
    assert {one.headers["x-vedette-project"] for one in server.requests} == {"customer_service"}


@pytest.mark.parametrize("family", ["VEDETTE", "JUDGMENT"])
def test_the_multi_agent_system(server: Server, tmp_path: Path, family: str) -> None:
    printed = _run(tmp_path, MANY, "main.py", **{f"{family}_API_URL": server.url, f"{family}_API_KEY": KEY})
    assert "Results from planning" in printed
    spans = {span.attributes["vedette.agent"]: span for span in server.spans()}
    assert spans.keys() == {"PlanningAgent", "ResearchAgent", "TaskAgent"}
    planner = spans["PlanningAgent"]
    for name in ("ResearchAgent", "TaskAgent"):
        assert spans[name].attributes["vedette.parent_agent_id"] == planner.attributes["vedette.agent_id"]
        assert spans[name].attributes["vedette.agent_entry"] is True


def test_a_program_that_is_run_by_the_command(server: Server, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from vedette import Tracer\nwith Tracer().span('step'): pass\nraise SystemExit(7)\n"
    )
    vedette = [
        sys.executable,
        "-m",
        "vedette.cli",
        "run",
        "-p",
        "my shop",
        "--",
        sys.executable,
        str(tmp_path / "app.py"),
    ]
    told = {"PATH": "/usr/bin:/bin", "VEDETTE_API_URL": server.url, "VEDETTE_API_KEY": KEY}
    done = subprocess.run(vedette, env=told, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (7, "")
    assert server.span("step").resource["service.name"] == "my shop"
    assert {one.headers["x-vedette-project"] for one in server.requests} == {"my%20shop"}
