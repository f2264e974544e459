"""The packages `vedette` and `judgeval` inside the sandbox: files of authors run as they are, with pydantic and without."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from scorers.hosted.install import SHIM

PYDANTIC = sysconfig.get_path("purelib")


def run(code: str, *, pydantic: bool, cwd: Path) -> str:
    """Runs code as the sandbox does: without site-packages, the shim first."""
    paths = [str(SHIM), *([PYDANTIC] if pydantic else [])]
    start = f"import sys; sys.path[:0] = {paths[:1]}; sys.path += {paths[1:]}\n"
    command = [sys.executable, "-I", "-S", "-B", "-c", start + code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(params=[False, True], ids=["plain", "pydantic"])
def pydantic(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


EXAMPLES = """
from {package}.data import Example
from {package}.scorers.example_scorer import ExampleScorer

class CustomerRequest(Example):
    request: str
    response: str = "none"

class PackageInquiryScorer(ExampleScorer):
    name: str = "Package Inquiry Scorer"
    server_hosted: bool = True
    seen: list = []

    async def a_score_example(self, example: CustomerRequest):
        self.reason = example.request
        self.seen.append(1)
        return 1.0

one = CustomerRequest(request="where", further=3)
assert (one.request, one["response"], one.further, "request" in one) == ("where", "none", 3, True)
assert one.get_fields() == dict(request="where", response="none", further=3) == one.properties
assert one.to_dict()["request"] == "where" and Example.create(a=1)["a"] == 1
try:
    CustomerRequest(response="x")
except Exception as error:
    assert "request" in str(error)
else:
    raise AssertionError("a field that is required may be left out")
import asyncio
first, second = PackageInquiryScorer(), PackageInquiryScorer(threshold=0.8)
asyncio.run(first.a_score_example(one))
assert (first.reason, second.reason, first.seen, second.seen) == ("where", None, [1], [])
assert (first.name, first.threshold, second.threshold, first.class_name) == ("Package Inquiry Scorer", 0.5, 0.8, "PackageInquiryScorer")
class Unnamed(ExampleScorer):
    strict_mode: bool = True
assert (Unnamed().name, Unnamed().threshold) == ("Unnamed", 1.0)
import sys
print("pydantic" in sys.modules)
"""


@pytest.mark.parametrize("package", ["vedette", "judgeval", "judgeval.v1"])
def test_examples_and_scorers_behave_alike_with_pydantic_and_without(
    package: str, pydantic: bool, tmp_path: Path
) -> None:
    assert run(EXAMPLES.replace("{package}", package), pydantic=pydantic, cwd=tmp_path) == str(pydantic)


JUDGES = """
import asyncio
from judgeval.judges import Judge
from judgeval.hosted.responses import BinaryResponse, CategoricalResponse, Category, NumericResponse, Citation
from judgeval.data.example import Example
from judgeval.data.trace import Trace

class Mood(CategoricalResponse):
    categories = [Category(value="good", description="d"), Category(value="bad")]

class Polite(Judge[Mood]):
    async def score(self, data: Example) -> Mood:
        return Mood(value=data["mood"], reason="r", citations=[Citation(span_id="a", span_attribute="b")])

judged = asyncio.run(Polite().score(Example(mood="good")))
assert (judged.value, judged.reason, len(judged.citations)) == ("good", "r", 1)
try:
    asyncio.run(Polite().score(Example(mood="worse")))
except ValueError as error:
    assert "worse" in str(error)
else:
    raise AssertionError("a category of nobody's")
assert (BinaryResponse(value=True, reason="").value, NumericResponse(value=0.5, reason="").value) == (True, 0.5)
print("ok")
"""


def test_newer_judges_return_responses(pydantic: bool, tmp_path: Path) -> None:
    assert run(JUDGES, pydantic=pydantic, cwd=tmp_path) == "ok"


TRACED = """
from judgeval.tracer import Tracer, wrap, TraceScorerConfig
from judgeval import Tracer as Newer
import judgeval.scorers, vedette

judgment = Tracer(project_name="customer_service")
client = object()
assert wrap(client) is client is judgment.wrap(client)

class Agent:
    @judgment.agent()
    @judgment.observe(span_type="function")
    def run(self):
        judgment.async_evaluate(scorer=None, example=None, sampling_rate=1)
        with judgment.span("x") as span:
            span.set_attribute("a", 1)
        judgment.get_current_span().set_attribute("a", 1)
        return 1

@Newer.observe
def bare():
    Newer.set_customer_id("c")
    return 2

tracer = Newer.init(project_name="p")
@tracer.observe(span_type="tool")
async def later():
    return 3

import asyncio
print(Agent().run(), bare(), asyncio.run(later()), vedette.Tracer is Newer)
"""


def test_a_file_that_traces_its_own_client_records_nothing_and_runs(pydantic: bool, tmp_path: Path) -> None:
    assert run(TRACED, pydantic=pydantic, cwd=tmp_path) == "1 2 3 True"


def test_a_module_that_the_sandbox_lacks_is_named_with_those_it_has(tmp_path: Path) -> None:
    told = run(
        "try:\n    import judgeval.dataset\nexcept ModuleNotFoundError as error:\n    print(error)",
        pydantic=False,
        cwd=tmp_path,
    )
    assert told.startswith("the sandbox has no module judgeval.dataset; of judgeval it has data, ")
