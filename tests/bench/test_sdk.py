"""The SDK's price for its host: a watched call beside a plain span of OpenTelemetry's, and what importing it takes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.figures import told
from tests.sdk.server import serving

CALLS, ROUNDS = 10_000, 5
SCRIPT = str(Path(__file__).with_name("sdk_calls.py"))

OTEL = "import opentelemetry.sdk.trace.export, opentelemetry.exporter.otlp.proto.http.trace_exporter"
OURS = "from vedette import Tracer, wrap"

pytestmark = pytest.mark.bench


def _microseconds(way: str, url: str) -> dict[str, float]:
    command = [sys.executable, SCRIPT, way, str(CALLS), url]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def test_an_observed_call_beside_a_plain_span() -> None:
    ours, baseline = [], []
    with serving() as server:
        for _ in range(ROUNDS):
            baseline.append(_microseconds("otel", server.url))
            ours.append(_microseconds("observe", server.url))
            server.requests.clear()
    wall = [round(a["wall"] / b["wall"], 3) for a, b in zip(ours, baseline, strict=True)]
    goal = "<= 1.3 of a plain span with the same attributes, microseconds of CPU a call in the caller"
    assert told("sdk observe", goal, _cpu(ours), _cpu(baseline), wall_ratios=wall) > 0


def test_a_call_while_it_is_off_and_an_evaluation() -> None:
    with serving() as server:
        bare = _cpu([_microseconds("bare", server.url) for _ in range(ROUNDS)])
        off = _cpu([_microseconds("off", server.url) for _ in range(ROUNDS)])
        evaluate = [_microseconds("evaluate", server.url) for _ in range(ROUNDS)]
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
        nothing = _milliseconds("pass")
        baseline.append(_milliseconds(OTEL) - nothing)
        ours.append(_milliseconds(OURS) - nothing)
    assert told("sdk import", "<= 1.3 of importing OpenTelemetry's SDK and exporter, milliseconds", ours, baseline) > 0


def _milliseconds(code: str) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        best = min(best, time.perf_counter() - began)
    return best * 1000
