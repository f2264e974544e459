"""The whole system as a user has it: `vedette up`, a stock OpenTelemetry SDK, plain HTTP, documents by `vedette apply`.

Slack and the mail server are local servers that speak the real protocols. Every job is killed once, in the middle, one after the other.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from streams.local.standins import SlackStandIn, SmtpStandIn

pytestmark = pytest.mark.integration

VEDETTE = str(Path(sys.executable).with_name("vedette"))
JOBS = ("bridge", "normalise", "sample", "score", "match", "count", "deliver", "store", "api")
DOCUMENTS = """
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: Package Inquiry Scorer, project: shop}}
spec:
  type: contains
  with: {{field: output, any: [parcel, package]}}
  threshold: 0.5
  online:
    - {{target: span, filter: {{kind: llm, agent: CustomerServiceAgent}}}}
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: oncall-slack, project: shop}}
spec: {{type: slack, token: {{env: SLACK_BOT_TOKEN}}, channel: "#agents", base_url: "{slack}"}}
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: oncall-mail, project: shop}}
spec: {{type: email, to: [oncall@example.com], from: vedette@example.com, smtp: {{host: 127.0.0.1, port: {smtp}, tls: none}}}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: Package Inquiry Failures, project: shop, description: Alert when the agent fails to address package inquiries}}
spec:
  when: {{all: [{{scorer: Package Inquiry Scorer, is: fails}}]}}
  group_by: [agent]
  times: 3
  within: 5m
  cooldown: 30m
  actions: [{{notify: oncall-slack}}, {{notify: oncall-mail}}]
"""


@dataclass
class System:
    """A running `vedette up` and what a user does with it."""

    data_dir: Path
    environment: dict[str, str]
    spans: set[str] = field(default_factory=set)
    examples: set[str] = field(default_factory=set)

    def vedette(self, *arguments: str) -> str:
        """Runs a command against this stack and returns what it prints."""
        command = [VEDETTE, *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.vedette("status", "--json"))
        return found

    def key(self) -> str:
        return Path(self.status()["ingest_key_file"]).read_text().strip()

    def select(self, query: str) -> list[dict[str, Any]]:
        """Runs a query as the reading user."""
        where = self.status()["clickhouse"]
        password = Path(where["password_file"]).read_text().strip()
        headers = {
            "X-ClickHouse-User": where["user"],
            "X-ClickHouse-Key": password,
            "X-ClickHouse-Database": where["database"],
        }
        request = urllib.request.Request(where["url"], data=f"{query} FORMAT JSONEachRow".encode(), headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def answer(self, provider: TracerProvider, *replies: str) -> None:
        """The agent answers: one trace for each reply, ended and exported before this returns."""
        tracer = provider.get_tracer("shop")
        for reply in replies:
            with tracer.start_as_current_span("chat gpt-5-mini") as span:
                span.set_attribute("gen_ai.operation.name", "chat")
                span.set_attribute("gen_ai.agent.name", "CustomerServiceAgent")
                span.set_attribute(
                    "gen_ai.output.messages",
                    json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": reply}]}]),
                )
                self.spans.add(f"{span.get_span_context().trace_id:032x}:{span.get_span_context().span_id:016x}")
        assert provider.force_flush(30_000)

    def evaluate(self, key: str, example_id: str, output: str) -> None:
        """Sends an example that names the scorer, as often as it takes until the bridge has it."""
        body = {
            "examples": [
                {
                    "id": example_id,
                    "agent": "CustomerServiceAgent",
                    "fields": {"output": output},
                    "scorers": ["Package Inquiry Scorer"],
                }
            ]
        }
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "x-vedette-project": "shop"}
        url = self.status()["endpoints"]["otlp_http"] + "/v1/examples"
        request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)

        def accepted() -> bool:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.loads(answer.read())["ids"] == [example_id]
            except OSError:
                return False

        until(accepted)
        self.examples.add(example_id)

    def kill(self, job: str) -> None:
        """kill -9; the supervisor starts it again."""
        before = self.status()["jobs"][job]
        os.kill(before["pid"], signal.SIGKILL)
        until(lambda: self.status()["jobs"][job]["restarts"] > before["restarts"])


def until(done: Callable[[], bool], patience_s: float = 90) -> None:
    """Waits until something is true."""
    end = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end, f"not within {patience_s:g} s"
        time.sleep(0.3)


@pytest.fixture
def slack(tmp_path: Path) -> Iterator[SlackStandIn]:
    with SlackStandIn(0, tmp_path / "slack.jsonl") as server:
        yield server


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpStandIn]:
    with SmtpStandIn(0, tmp_path / "smtp.jsonl") as server:
        yield server


@pytest.fixture
def system(tmp_path: Path, slack: SlackStandIn, smtp: SmtpStandIn) -> Iterator[System]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "OTEL_", "JUDGMENT_"))}
    system = System(tmp_path / "data", {**own, "SLACK_BOT_TOKEN": "xoxb-test"})
    system.vedette("up", "--detach", "--otlp-http-port", "0", "--otlp-grpc-port", "0", "--api-port", "0")
    documents = tmp_path / "documents.yaml"
    documents.write_text(DOCUMENTS.format(slack=slack.url, smtp=smtp.port))
    system.vedette("apply", "-f", str(documents))
    yield system
    system.vedette("down")


@pytest.fixture
def provider(system: System) -> Iterator[TracerProvider]:
    """The stock SDK with the stock exporter, pointed at the bridge."""
    headers = {"authorization": f"Bearer {system.key()}", "x-vedette-project": "shop"}
    exporter = OTLPSpanExporter(system.status()["endpoints"]["otlp_http"] + "/v1/traces", headers=headers, timeout=30)
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=100))
    yield provider
    provider.shutdown()


def test_from_a_span_to_slack_and_mail_with_every_job_killed_once(
    system: System, provider: TracerProvider, slack: SlackStandIn, smtp: SmtpStandIn
) -> None:
    key = system.key()
    system.answer(provider, "Your parcel arrives tomorrow.", "I like trains.", "Have you tried patience?")
    system.evaluate(key, "e-0", "It rains.")
    until(lambda: len(slack.calls) == 1 and len(smtp.mails) == 1)
    for number, job in enumerate(JOBS, 1):
        system.answer(provider, "No idea.", "Your package is on its way.")
        system.kill(job)
        system.answer(provider, "Ask somebody else.")
        system.evaluate(key, f"e-{number}", "Good morning.")
    wanted = system.spans | system.examples
    until(lambda: {row["subject_id"] for row in system.select("SELECT subject_id FROM scores FINAL")} == wanted)
    until(lambda: all(job["lag"] == 0 for job in system.status()["jobs"].values()))

    scores = system.select(
        "SELECT outcome, subject_kind, toUInt32(count()) AS n FROM scores FINAL WHERE project = 'shop' GROUP BY ALL ORDER BY ALL"
    )
    assert scores == [
        {"outcome": "fail", "subject_kind": "example", "n": 10},
        {"outcome": "fail", "subject_kind": "span", "n": 20},
        {"outcome": "pass", "subject_kind": "span", "n": 10},
    ]
    stored = {
        f"{row['trace_id']}:{row['span_id']}" for row in system.select("SELECT trace_id, span_id FROM spans FINAL")
    }
    assert stored == system.spans
    assert {row["example_id"] for row in system.select("SELECT example_id FROM examples FINAL")} == system.examples
    (alert,) = system.select("SELECT rule, state, toUInt32(change) AS change, group_key FROM alerts FINAL")
    assert alert == {
        "rule": "Package Inquiry Failures", "state": "firing", "change": 0, "group_key": '{"agent":"CustomerServiceAgent"}',
    }  # fmt: skip
    assert system.select("SELECT toUInt32(count()) AS n FROM matches FINAL") == [{"n": 30}]
    deliveries = system.select("SELECT destination, state FROM deliveries FINAL ORDER BY destination")
    assert deliveries == [
        {"destination": "oncall-mail", "state": "sent"},
        {"destination": "oncall-slack", "state": "sent"},
    ]
    assert [call.method for call in slack.calls] == ["chat.postMessage"]
    assert "Package Inquiry Failures" in str(slack.calls[0].arguments)
    assert [mail.recipients for mail in smtp.mails] == [("oncall@example.com",)]
