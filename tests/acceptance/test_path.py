"""The whole system as a user has it: `vedette up`, a stock OpenTelemetry SDK, plain HTTP, documents by `vedette apply`.

Slack and the mail server are local servers that speak the real protocols. Every job is killed once, in the middle, one after the other.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.local.standins import SlackStandIn, SmtpStandIn
from tests.support.system import JOBS, Agent, System, running, until

pytestmark = pytest.mark.integration

SCORER = "Package Inquiry Scorer"
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
    with running(tmp_path / "data") as system:
        system.apply(DOCUMENTS.format(slack=slack.url, smtp=smtp.port))
        yield system


@pytest.fixture
def agent(system: System) -> Iterator[Agent]:
    with Agent(system, "shop") as agent:
        yield agent


def test_from_a_span_to_slack_and_mail_with_every_job_killed_once(
    system: System, agent: Agent, slack: SlackStandIn, smtp: SmtpStandIn
) -> None:
    agent.answer("Your parcel arrives tomorrow.", "I like trains.", "Have you tried patience?")
    agent.evaluate("e-0", "It rains.", SCORER)
    until(lambda: len(slack.calls) == 1 and len(smtp.mails) == 1)
    for number, job in enumerate(JOBS, 1):
        agent.answer("No idea.", "Your package is on its way.")
        system.kill(job)
        agent.answer("Ask somebody else.")
        agent.evaluate(f"e-{number}", "Good morning.", SCORER)
    wanted = agent.spans | agent.examples
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
    assert stored == agent.spans
    assert {row["example_id"] for row in system.select("SELECT example_id FROM examples FINAL")} == agent.examples
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
