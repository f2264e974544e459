"""From the end of a span to the call of Slack, with 100 spans a second in the background."""

import json
import os
import platform
import secrets
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from streams import kafka
from streams.local.standins import SlackCall, SlackReply, SlackStandIn, slack_reply
from streams.settings import Settings
from tests.support.otlp import Reply, export_of
from tests.support.system import System, running, until

pytestmark = pytest.mark.bench

PROBES = 50
EVERY_S = 1.05
"""A channel gets one message a second: what came faster would measure that."""
BACKGROUND_PER_S = 100
IN_A_BODY = 10
DOCUMENTS = """
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: refunds}}
spec: {{type: contains, with: {{field: output, any: [refund]}}, threshold: 0.5, online: [{{target: span, filter: {{kind: llm}}}}]}}
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: oncall}}
spec: {{type: slack, token: {{env: SLACK_BOT_TOKEN}}, channel: "#agents", base_url: "{slack}"}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: refused}}
spec: {{when: {{all: [{{scorer: refunds, is: fails}}]}}, group_by: [agent], times: 1, within: 5m, cooldown: 0s, actions: [{{notify: oncall}}]}}
"""


class Arrivals:
    """When Slack was called about which probe."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def respond(self, call: SlackCall) -> SlackReply:
        now, text = time.time(), str(call.arguments)
        self.at.update({name: now for name in (f"probe-{n:03d}" for n in range(PROBES)) if name in text})
        return slack_reply(call)


@contextmanager
def background(system: System, key: str) -> Iterator[None]:
    """Spans that pass, at a steady rate."""
    stopping = threading.Event()

    def send() -> None:
        began, sent = time.monotonic(), 0
        while not stopping.wait(max(0, sent / BACKGROUND_PER_S - (time.monotonic() - began))):
            replies = [Reply(secrets.token_hex(16), secrets.token_hex(8), "refund") for _ in range(IN_A_BODY)]
            assert system.post("/v1/traces", export_of(replies), key)[0] == 200
            sent += IN_A_BODY

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def round_trips(settings: Settings) -> list[float]:
    """Milliseconds from a bare produce to the bare consume of the same record, on the same broker under the same load."""
    name = f"round-trip-{secrets.token_hex(4)}"
    admin = kafka.admin(settings)
    for future in admin.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(30)
    producer = kafka.producer(settings, **{"linger.ms": 0})
    consumer = kafka.consumer(settings, name)
    consumer.subscribe([name])
    taken: list[float] = []
    while len(taken) < PROBES + 1:  # the first waits for the assignment
        began = time.perf_counter()
        producer.produce(name, b"x")
        producer.flush(10)
        while consumer.poll(10) is None:
            continue
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)
    consumer.close()
    return taken[1:]


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1), "most_ms": round(max(milliseconds), 1)}


def told(ours: list[float], baseline: list[float]) -> dict[str, Any]:
    line = {
        "bench": "latency",
        "goal": "from the end of a span to Slack p50 <= 500 ms, p99 <= 2000 ms",
        **quantiles(ours),
        "baseline_of": "produce and consume of one record",
        **{f"baseline_{name}": value for name, value in quantiles(baseline).items()},
        "ratio": round(statistics.median(ours) / statistics.median(baseline), 1),
        "probes": len(ours),
        "background_spans_per_s": BACKGROUND_PER_S,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}",
    }
    print("\n" + json.dumps(line), flush=True)
    return line


def test_from_the_end_of_a_span_to_slack(tmp_path: Path) -> None:
    arrivals = Arrivals()
    with SlackStandIn(respond=arrivals.respond) as slack, running(tmp_path / "data") as system:
        system.apply(DOCUMENTS.format(slack=slack.url))
        key, ended = system.key(), {}
        with background(system, key):
            time.sleep(3)
            for n in range(PROBES):
                name, at = f"probe-{n:03d}", time.time_ns()
                probe = Reply(secrets.token_hex(16), secrets.token_hex(8), "No.", name, at)
                ended[name] = at / 1e9
                assert system.post("/v1/traces", export_of([probe]), key)[0] == 200
                time.sleep(EVERY_S)
            baseline = round_trips(system.settings)
        until(lambda: arrivals.at.keys() == ended.keys())
    ours = [(arrivals.at[name] - at) * 1000 for name, at in ended.items()]
    line = told(ours, baseline)
    assert line["p50_ms"] > 0
