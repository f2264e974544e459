"""The demo: an agent that sometimes fails, what watches it, and stand-ins for the people who are told."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from streams.cli.client import ApiError, Client
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
_FILES = ("destinations.yaml", "provider.yaml", "rule.yaml")
_BUILT_IN = ("scorer.yaml",)
_HOSTED, _REQUIREMENTS = "customer_service_scorer.py", "pydantic\nopenai\n"
_READY_WITHIN_S = 30.0
_HOSTED_WITHIN_S = 90.0


def start_stand_ins(supervisor: Supervisor, data: DataDir) -> dict[str, str]:
    """Starts Slack and a mail server that write down what they are sent, and a model; returns what the jobs must be told about them."""
    slack = kept_port(data.path / "demo-slack.port", 0, "the demo's Slack")
    smtp = kept_port(data.path / "demo-smtp.port", 0, "the demo's mail server")
    openai = kept_port(data.path / "demo-openai.port", 0, "the demo's model")
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
    supervisor.start(
        Process(
            "demo-openai",
            (*argv, "openai", str(openai)),
            ready=lambda: answers_2xx(f"http://{LOOPBACK}:{openai}/readyz"),
        )
    )
    for name in ("demo-slack", "demo-smtp", "demo-openai"):
        supervisor.wait_ready(name, _READY_WITHIN_S)
    return {
        "DEMO_SLACK_TOKEN": "xoxb-demo",
        "DEMO_SLACK_PORT": str(slack),
        "DEMO_SMTP_PORT": str(smtp),
        "DEMO_OPENAI_KEY": "sk-demo",
        "DEMO_OPENAI_PORT": str(openai),
    }


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True


def documents(environ: Mapping[str, str], names: Sequence[str] = _FILES) -> list[Any]:
    """Returns documents of the demo with the ports of the stand-ins filled in."""
    ports = {
        "slack_url": f"http://{LOOPBACK}:{environ['DEMO_SLACK_PORT']}/api/",
        "smtp_port": environ["DEMO_SMTP_PORT"],
        "openai_url": f"http://{LOOPBACK}:{environ['DEMO_OPENAI_PORT']}/v1",
    }
    texts = {name: _text(name) for name in names}
    return [source.data() for name, text in texts.items() for source in parse(Template(text).substitute(ports), name)]


def apply(admin: Client, environ: Mapping[str, str]) -> None:
    """Applies the demo's documents and returns when they are in effect."""
    admin.put("/api/v1/documents", documents(environ))


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")


def upload(admin: Client, environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Uploads the demo's scorer; where it cannot be built or run, says why and applies the built-in one in its place. Blocks.

    What the agent sends meanwhile waits for whichever comes.
    """
    code = {"code": _text(_HOSTED), "requirements": _REQUIREMENTS, "name": SCORER, "overwrite": True}
    try:
        told = admin.within(_HOSTED_WITHIN_S).post("/api/v1/scorers", code, project=PROJECT)
        packages = told["lock"].count("--hash=")
        tell(
            f"the uploaded scorer {SCORER!r} judges in its sandbox, with {packages} packages, a model behind the gateway\n"
        )
    except ApiError as error:
        lines = str(error).strip().splitlines()
        tell(f"the uploaded scorer cannot run here: {lines[-1]}\nthe built-in one judges in its place\n")
        admin.put("/api/v1/documents", documents(environ, _BUILT_IN))


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
    env |= {"DEMO_EXAMPLES_URL": f"{known.otlp_http}/v1/examples", "DEMO_EXAMPLES_KEY": key, "DEMO_SCORER": SCORER}
    supervisor.start(Process("demo-agent", (sys.executable, "-m", "streams.local.demo.agent"), env))
