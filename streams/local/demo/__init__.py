"""The demo: an agent that sometimes fails, what watches it, and stand-ins for the people who are told."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from streams.cli.client import Client
from streams.document_files import parse
from streams.local.datadir import DataDir
from streams.local.facts import INGEST_KEY, Facts
from streams.local.ports import LOOPBACK, kept_port
from streams.local.stack import answers_2xx
from streams.local.supervisor import Process, Supervisor

PROJECT = "demo"
AGENT = "CustomerServiceAgent"
SCORER = "Package Inquiry Scorer"
RULE = "Package Inquiry Failures"
SLACK_RECORD, MAIL_RECORD = "demo-slack.jsonl", "demo-mail.jsonl"
_FILES = ("scorer.yaml", "destinations.yaml", "rule.yaml")
_READY_WITHIN_S = 30.0


def start_stand_ins(supervisor: Supervisor, data: DataDir) -> dict[str, str]:
    """Starts Slack and a mail server that write down what they are sent; returns what the jobs must be told about them."""
    slack = kept_port(data.path / "demo-slack.port", 0, "the demo's Slack")
    smtp = kept_port(data.path / "demo-smtp.port", 0, "the demo's mail server")
    argv = (sys.executable, "-m", "streams.local.standins")
    supervisor.start(
        Process(
            "demo-slack",
            (*argv, "slack", str(slack), str(data.path / SLACK_RECORD)),
            ready=lambda: answers_2xx(f"http://{LOOPBACK}:{slack}/readyz"),
        )
    )
    supervisor.start(
        Process("demo-smtp", (*argv, "smtp", str(smtp), str(data.path / MAIL_RECORD)), ready=lambda: _listens(smtp))
    )
    for name in ("demo-slack", "demo-smtp"):
        supervisor.wait_ready(name, _READY_WITHIN_S)
    return {"DEMO_SLACK_TOKEN": "xoxb-demo", "DEMO_SLACK_PORT": str(slack), "DEMO_SMTP_PORT": str(smtp)}


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True


def documents(environ: Mapping[str, str]) -> list[Any]:
    """Returns the demo's documents with the ports of the stand-ins filled in."""
    ports = {
        "slack_url": f"http://{LOOPBACK}:{environ['DEMO_SLACK_PORT']}/api/",
        "smtp_port": environ["DEMO_SMTP_PORT"],
    }
    texts = {name: files(__name__).joinpath(name).read_text("utf-8") for name in _FILES}
    return [source.data() for name, text in texts.items() for source in parse(Template(text).substitute(ports), name)]


def apply(admin: Client, environ: Mapping[str, str]) -> None:
    """Applies the demo's documents and returns when they are in effect."""
    admin.put("/api/v1/documents", documents(environ))


def start_agent(supervisor: Supervisor, known: Facts, data: DataDir) -> None:
    """Starts the agent: an ordinary program with an ordinary OpenTelemetry SDK that reports here."""
    key = (data.path / INGEST_KEY).read_text().strip()
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": known.otlp_http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{key},x-vedette-project={PROJECT}",
        "OTEL_SERVICE_NAME": "customer-service",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=production",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }
    supervisor.start(Process("demo-agent", (sys.executable, "-m", "streams.local.demo.agent"), env))
