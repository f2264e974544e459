"""The SDK's price for its host: a watched call and an import, beside OpenTelemetry's own and beside the SDKs of others.

Each stands in an environment of its own, made by pip at the first run and kept in `.bench/`.
"""

import json
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.figures import told
from tests.sdk.server import Server, serving

CALLS, ROUNDS = 10_000, 5
ROOT = Path(__file__).parents[2]
SCRIPT = str(Path(__file__).with_name("sdk_calls.py"))
OTEL_PACKAGES = ("opentelemetry-sdk>=1.45,<2", "opentelemetry-exporter-otlp-proto-http>=1.45,<2")
ENVIRONMENTS = {
    "vedette": ("-e", str(ROOT / "sdk")),
    "otel": OTEL_PACKAGES,
    "judgeval": ("judgeval==1.6.*",),
    "langfuse": ("langfuse==5.*",),
    "logfire": ("logfire==5.*",),
}
WAYS = {"observe": "vedette", "otel": "otel", "judgeval": "judgeval", "langfuse": "langfuse", "logfire": "logfire"}
GOALS = {"otel": "<= 1.3 of a plain span with the same attributes", "judgeval": "<= 0.5 of judgeval's observe"}

OTEL = "import opentelemetry.sdk.trace.export, opentelemetry.exporter.otlp.proto.http.trace_exporter"
OURS = "from vedette import Tracer, wrap"

pytestmark = pytest.mark.bench


def python(name: str) -> str:
    """Returns the interpreter of an environment; a folder without its mark was not finished and is made again."""
    where = ROOT / ".bench" / name
    made, program = where / "made", where / "bin" / "python"
    packages = ENVIRONMENTS[name]
    if not made.exists() or made.read_text() != repr(packages):
        venv.create(where, with_pip=True, clear=True)
        install = [str(program), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
        subprocess.run(install, check=True, timeout=600)
        made.write_text(repr(packages))
    return str(program)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as made:
        made.told = {"project_id": "bench"}
        yield made


def _microseconds(way: str, server: Server) -> dict[str, float]:
    command = [python(WAYS.get(way, "vedette")), SCRIPT, way, str(CALLS), server.url]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    server.requests.clear()
    return found


def test_an_observed_call_beside_a_plain_span_and_the_sdks_of_others(server: Server) -> None:
    rounds = [{way: _microseconds(way, server) for way in WAYS} for _ in range(ROUNDS)]
    for way in ("otel", "judgeval", "langfuse", "logfire"):
        ours, theirs = ([one[name] for one in rounds] for name in ("observe", way))
        wall = [round(a["wall"] / b["wall"], 3) for a, b in zip(ours, theirs, strict=True)]
        goal = f"{GOALS.get(way, 'none')}, microseconds of CPU a call in the caller"
        assert told(f"sdk observe beside {way}", goal, _cpu(ours), _cpu(theirs), wall_ratios=wall) > 0


def test_a_call_while_it_is_off_and_an_evaluation(server: Server) -> None:
    bare = _cpu([_microseconds("bare", server) for _ in range(ROUNDS)])
    off = _cpu([_microseconds("off", server) for _ in range(ROUNDS)])
    evaluate = [_microseconds("evaluate", server) for _ in range(ROUNDS)]
    extra = [round(a - b, 3) for a, b in zip(off, bare, strict=True)]
    assert told("sdk off", "<= 0.5 microseconds above the bare call", off, bare, extra_us=extra) > 0
    wall = [round(one["wall"], 1) for one in evaluate]
    goal = "<= 20 microseconds in the caller"
    assert told("sdk async_evaluate", goal, _cpu(evaluate), [20.0] * ROUNDS, wall_us=wall) > 0


def _cpu(figures: list[dict[str, float]]) -> list[float]:
    return [one["cpu"] for one in figures]


def test_importing_it_beside_importing_opentelemetry() -> None:
    ours, baseline = [], []
    for _ in range(2 * ROUNDS):
        baseline.append(_milliseconds("otel", OTEL) - _milliseconds("otel", "pass"))
        ours.append(_milliseconds("vedette", OURS) - _milliseconds("vedette", "pass"))
    assert told("sdk import", "<= 1.3 of importing OpenTelemetry's SDK and exporter, milliseconds", ours, baseline) > 0


def _milliseconds(name: str, code: str) -> float:
    best, program = float("inf"), python(name)
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([program, "-c", code], check=True)
        best = min(best, time.perf_counter() - began)
    return best * 1000
