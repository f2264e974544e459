"""Outages under load: servers that go away and come back, a client's ledger of what was taken, and what must hold afterwards.

The ledger knows what got a 2xx. Everything that did is in ClickHouse once; what did not may be there, since an answer can be lost.
"""

import json
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from streams.config_feed import ConfigFeed
from streams.local import clickhouse, kafka
from streams.local.standins import SlackStandIn
from streams.logic.sampling import keep
from tests.bench.figures import rss_bytes
from tests.faults.counter_soak import offline
from tests.support.otlp import Reply, export_of
from tests.support.system import System, attributes, until

PROJECT = "shop"
AGENT = "CustomerServiceAgent"
WORDS = ("Of course.", "No.", "Your refund is on its way.")
SHARE = 0.3
GROWTH_BYTES = 100 * 1024 * 1024
DRAINED_WITHIN_S = 60
CALM_S = 3
"""Of load before an outage, and after it."""
SERVERS = ("kafka", "clickhouse")
DOCUMENTS = """
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: refunds, project: shop}}
spec: {{type: contains, with: {{field: output, any: [refund]}}, threshold: 0.5, online: [{{target: span}}]}}
---
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: some, project: shop}}
spec: {{type: contains, with: {{field: output, any: [refund]}}, threshold: 0.5, online: [{{target: span, sampling_rate: 0.3}}]}}
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: oncall, project: shop}}
spec: {{type: slack, token: {{env: SLACK_BOT_TOKEN}}, channel: "#agents", base_url: "{slack}"}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: once, project: shop}}
spec: {{when: {{all: [{{scorer: refunds, is: fails}}]}}, group_by: [agent], times: 3, within: 5m, cooldown: 30m, actions: [{{notify: oncall}}]}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: often, project: shop}}
spec: {{when: {{all: [{{scorer: refunds, is: fails}}]}}, group_by: [agent], times: 5, within: 10s, cooldown: 5s, resolve_after: 8s, actions: [{{notify: oncall}}]}}
"""


class Servers:
    """Kafka and ClickHouse of a test's own. They are tied to the thread that starts them: the test's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.kafka = kafka.start(directory / "kafka")
        self.clickhouse = clickhouse.start(directory / "clickhouse")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kafka.stop(self.kafka)
        clickhouse.stop(self.clickhouse)

    @property
    def options(self) -> tuple[str, ...]:
        """Of `vedette up`."""
        return "--bootstrap-servers", self.kafka.bootstrap, "--clickhouse-url", self.clickhouse.login()

    def away(self, server: str) -> None:
        """Ends a server as a crash does."""
        process = self.kafka.process if server == "kafka" else self.clickhouse.process
        process.kill()
        process.wait(10)

    def back(self, server: str) -> None:
        """Starts it again, with the same data on the same port."""
        if server == "kafka":
            self.kafka = kafka.start(self._directory / "kafka", self.kafka.port)
        else:
            self.clickhouse = clickhouse.start(self._directory / "clickhouse", self.clickhouse.port)

    def frozen_kafka(self, seconds: float) -> None:
        """Lets the broker stand still: connections stay, nothing is answered."""
        self.kafka.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.kafka.process.send_signal(signal.SIGCONT)


@dataclass
class Ledger:
    """What a client knows of its spans: how each was meant, and which got a 2xx."""

    texts: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)


class _Noted(OTLPSpanExporter):
    """The stock exporter; the ledger learns what it could deliver."""

    ledger: Ledger

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self.ledger.accepted |= {subject_id(span) for span in spans}
        return result


def subject_id(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}:{context.span_id:016x}"


class Load:
    """About 50 spans a second: half by the stock SDK, half by plain HTTP, five in a body; nothing is sent twice by us."""

    def __init__(self, system: System) -> None:
        self.ledger = Ledger()
        self._system, self._key = system, system.key()
        self._stopping = threading.Event()
        self._random = random.Random(7)
        exporter = _Noted(
            system.bridge + "/v1/traces",
            headers={"authorization": f"Bearer {self._key}", "x-vedette-project": PROJECT},
        )
        exporter.ledger = self.ledger
        self._provider = TracerProvider(resource=Resource({"service.name": PROJECT}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._by_sdk, self._by_http)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._provider.shutdown()

    def _by_sdk(self) -> None:
        tracer = self._provider.get_tracer("agent")
        while not self._stopping.wait(0.04):
            with tracer.start_as_current_span("chat gpt-5-mini") as span:
                text = self._random.choice(WORDS)
                span.set_attributes(attributes(AGENT, text))
                context = span.get_span_context()
                self.ledger.texts[f"{context.trace_id:032x}:{context.span_id:016x}"] = text

    def _by_http(self) -> None:
        while not self._stopping.wait(0.2):
            replies = [
                Reply(secrets.token_hex(16), secrets.token_hex(8), self._random.choice(WORDS), AGENT) for _ in range(5)
            ]
            self.ledger.texts |= {reply.subject_id: reply.text for reply in replies}
            status, _ = self._system.post("/v1/traces", export_of(replies), self._key, PROJECT)
            if status == 200:
                self.ledger.accepted |= {reply.subject_id for reply in replies}


class Memory(threading.Thread):
    """The resident memory of every job, looked at twice a second."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self._system, self._stopping = system, threading.Event()
        self.before = self._now()
        self.most = dict(self.before)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.wait(0.5):
            for process, size in self._now().items():
                self.most[process] = max(size, self.most.get(process, 0))

    def _now(self) -> dict[tuple[str, int], int]:
        sizes = {}
        for name, pid in self._system.pids().items():
            try:
                sizes[name, pid] = rss_bytes(pid)
            except FileNotFoundError:  # it ended just now
                continue
        return sizes

    @property
    def growth(self) -> dict[str, int]:
        """By how much each job that lived through it grew at most, in bytes."""
        return {name: self.most[name, pid] - size for (name, pid), size in self.before.items()}


def with_flat_memory(system: System, outage: Callable[[], None]) -> None:
    """Goes through an outage in the middle of the load; no job may grow by more than 100 MiB meanwhile."""
    time.sleep(CALM_S)
    with Memory(system) as memory:
        outage()
        time.sleep(CALM_S)
    assert {name: size for name, size in memory.growth.items() if size > GROWTH_BYTES} == {}


def without(servers: Servers, seconds: float, *names: str) -> Callable[[], None]:
    """Returns an outage of some servers, which ends when they answer again."""

    def outage() -> None:
        for name in names:
            servers.away(name)
        time.sleep(seconds)
        for name in names:
            servers.back(name)

    return outage


def with_jobs_killed(system: System, servers: Servers, seconds: float) -> None:
    """Kafka and ClickHouse go away and every job is killed: they start where nothing answers, say so, and wait."""
    for name in SERVERS:
        servers.away(name)
    logged = {job: len(system.log(job)) for job in system.pids()}
    system.kill(*logged)
    until(lambda: all(_waits_for(job) in system.log(job)[before:] for job, before in logged.items()))
    time.sleep(seconds)
    for name in SERVERS:
        servers.back(name)
    until(lambda: all(process["state"] == "running" for process in system.processes().values()))
    time.sleep(CALM_S)


def _waits_for(job: str) -> str:
    return "waiting for ClickHouse" if job == "store" else "waiting for Kafka"


def stored(system: System) -> dict[str, int]:
    rows = system.select("SELECT trace_id, span_id, toUInt32(count()) AS n FROM spans FINAL GROUP BY ALL")
    return {f"{row['trace_id']}:{row['span_id']}": row["n"] for row in rows}


def assert_nothing_lost_and_nothing_twice(system: System, ledger: Ledger, slack: SlackStandIn) -> None:
    """Waits until all lags are 0, then compares ClickHouse and Slack with the client's ledger and the fold of the rule events."""
    until(system.is_drained, DRAINED_WITHIN_S)
    spans = stored(system)
    assert len(ledger.accepted) > 200
    assert ledger.accepted <= spans.keys() <= ledger.texts.keys()
    assert set(spans.values()) == {1}
    outcomes = {subject: "pass" if "refund" in ledger.texts[subject] else "fail" for subject in spans}
    sampled = {subject: outcomes[subject] for subject in spans if keep(PROJECT, subject.partition(":")[0], SHARE)}
    assert scores(system, "refunds") == set(outcomes.items())
    assert scores(system, "some") == set(sampled.items())
    _assert_alerts(system)
    _assert_told(system, slack)
    assert json.loads(system.vedette("dlq", "ls", "-o", "json")) == []


def scores(system: System, scorer: str) -> set[tuple[str, str]]:
    rows = system.select(f"SELECT subject_id, outcome FROM scores FINAL WHERE scorer = '{scorer}'")
    found = {(row["subject_id"], row["outcome"]) for row in rows}
    assert len(found) == len(rows)
    return found


def _assert_alerts(system: System) -> None:
    (once,) = system.select("SELECT state, toUInt32(change) AS change FROM alerts FINAL WHERE rule = 'once'")
    assert once == {"state": "firing", "change": 0}
    feed = ConfigFeed(system.settings)
    feed.start()
    expected = set(offline(system.settings, feed.configuration))
    feed.stop()
    rows = system.select("SELECT alert_id, toUInt32(change) AS change FROM alert_changes FINAL")
    assert sorted((row["alert_id"], row["change"]) for row in rows) == sorted(expected)
    assert len(expected) >= 2
    fired = system.select(
        "SELECT toUnixTimestamp64Milli(changed_at) AS at FROM alert_changes FINAL WHERE rule = 'often'"
        " AND kind IN ('fired', 'renotified') ORDER BY at"
    )
    times = [int(row["at"]) for row in fired]
    assert all(later - earlier >= 5_000 for earlier, later in pairwise(times))


def _assert_told(system: System, slack: SlackStandIn) -> None:
    changes = system.select("SELECT alert_id, toUInt32(change) AS change FROM alert_changes FINAL ORDER BY ALL")
    told = system.select(
        "SELECT alert_id, toUInt32(change) AS change, groupArray(state) AS states FROM deliveries FINAL GROUP BY ALL ORDER BY ALL"
    )
    assert [(row["alert_id"], row["change"]) for row in told] == [(row["alert_id"], row["change"]) for row in changes]
    assert {tuple(row["states"]) for row in told} <= {("sent",), ("suppressed",)}
    assert len(slack.calls) >= sum(row["states"] == ["sent"] for row in told) > 0
