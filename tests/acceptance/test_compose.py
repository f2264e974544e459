"""The compose file as it would run: its commands, environments and health checks, with the containers' parts as processes of this machine."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect import get_client
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from ruamel.yaml import YAML

from streams.bridge.limits import Limits
from streams.cli.jobs import JOBS
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.system import until

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "deploy/compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "vedette" and name != "setup"}
PAGE = (ROOT / "docs/deploy.md").read_text()
PORTS = {"VEDETTE_METRICS_PORT": "9464", "VEDETTE_OTLP_HTTP_PORT": "4318", "VEDETTE_OTLP_GRPC_PORT": "4317", "VEDETTE_API_PORT": "8787"}  # fmt: skip


def test_the_compose_file_and_the_page_start_every_job() -> None:
    assert set(OURS) == {*JOBS, "judge"}, "prompt scorers have a process of their own"
    assert {service["command"][0] for service in OURS.values()} == set(JOBS)
    rows = {found[1] for found in re.finditer(r"^\| `vedette (\w+)", PAGE, re.MULTILINE)}
    assert rows == set(JOBS)
    for service in OURS.values():
        assert f"`vedette {' '.join(service['command'])}`" in PAGE


def test_every_variable_of_the_compose_file_and_of_the_page_is_a_setting() -> None:
    known = {f"VEDETTE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"VEDETTE_BRIDGE_{name.upper()}" for name in Limits.model_fields}
    known |= {f"{name}_FILE" for name in known}
    named = set(re.findall(r"VEDETTE_[A-Z_]+[A-Z]", (ROOT / "deploy/compose.yaml").read_text() + PAGE))
    named |= set(re.findall(r"VEDETTE_[A-Z_]+[A-Z]", (ROOT / "deploy/Dockerfile").read_text()))
    assert {name.partition("__")[0] for name in named} <= known


def test_the_image_has_what_the_jobs_need_and_copies_what_is_there() -> None:
    dockerfile, ignored = (ROOT / "deploy/Dockerfile").read_text(), (ROOT / ".dockerignore").read_text()
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE) for word in line.split()
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}\n" in ignored
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[\[<>=;~! ]", name)[0].lower() for name in project["dependencies"]}
    image, whole = _locked("deploy/requirements.lock"), _locked("requirements.lock")
    assert needed <= {name.replace("_", "-") for name in image} | {"ruamel.yaml"}
    assert {name: version for name, version in image.items() if whole.get(name) != version} == {}, "run `make lock`"


def _locked(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9_.-]+)==([^ ;]+)", (ROOT / file).read_text(), re.MULTILINE))


@pytest.mark.integration
def test_kafka_knows_every_setting_that_the_compose_file_gives_it(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    broker = ConfigResource(ResourceType.BROKER, str(next(iter(admin.list_topics(timeout=30).brokers))))
    known = next(iter(admin.describe_configs([broker], request_timeout=30).values())).result(30)
    given = SERVICES["kafka"]["environment"]
    assert {name for name in given if name.removeprefix("KAFKA_").lower().replace("_", ".") not in known} == set()
    assert int(given["KAFKA_MESSAGE_MAX_BYTES"]) == int(known["message.max.bytes"].value)


def by_default(value: str) -> str:
    """What Compose makes of `${NAME:-value}` when nobody sets the name."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


class Composition:
    """The services of the compose file as processes: the same commands and environments, other hosts and ports."""

    def __init__(self, bootstrap: str, clickhouse: str, prefix: str, database: str, home: Path) -> None:
        self.home = home
        self.api, self.otlp, self.grpc = free_port(), free_port(), free_port()
        self._replaced = {
            "kafka:9092": bootstrap,
            "http://api:8787": f"http://127.0.0.1:{self.api}",
            "http://bridge:4318": f"http://127.0.0.1:{self.otlp}",
        }
        self._further = {
            "VEDETTE_CLICKHOUSE_URL": clickhouse,
            "VEDETTE_TOPIC_PREFIX": prefix,
            "VEDETTE_CLICKHOUSE_DATABASE": database,
            "VEDETTE_PARTITIONS": "2",
            "VEDETTE_HOST": "127.0.0.1",
            "VEDETTE_OTLP_HTTP_PORT": str(self.otlp),
            "VEDETTE_OTLP_GRPC_PORT": str(self.grpc),
            "VEDETTE_API_PORT": str(self.api),
            "VEDETTE_RUNNER_PORT": str(free_port()),
            "VEDETTE_WATCH_HOST": "127.0.0.1",
            "VEDETTE_WATCH_PORT": str(free_port()),
            "VEDETTE_RUNNER_DIR": f"/var/tmp/vedette-runner-{os.geteuid()}",  # one that sandboxes can reach
        }
        self.key = home / "admin.key"
        self.running: dict[str, tuple[subprocess.Popen[bytes], int]] = {}

    def environment(self, service: Mapping[str, Any], port: int) -> dict[str, str]:
        given = {name: by_default(self._replaced.get(value, value)) for name, value in service["environment"].items()}
        for name in ("VEDETTE_BOOTSTRAP_ADMIN_KEY_FILE", "VEDETTE_ADMIN_KEY_FILE"):
            given |= {name: str(self.key)} if name in given else {}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "OTEL_"))}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {**clean, "PATH": path, **given, **self._further, "VEDETTE_METRICS_PORT": str(port)}

    def shell(self, command: str, **variables: str) -> str:
        """Runs what a page or an entry point says."""
        env = {**self.environment(SERVICES["setup"], 0), **variables}
        done = subprocess.run(
            ["sh", "-ec", command], capture_output=True, text=True, env=env, timeout=120, cwd=self.home
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def start(self, name: str) -> None:
        port = free_port()
        command = ["vedette", *SERVICES[name]["command"]]
        environment = self.environment(SERVICES[name], port)
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([BIN / command[0], *command[1:]], env=environment, stdout=log, stderr=log, cwd=self.home)  # fmt: skip
        self.running[name] = process, port

    def is_healthy(self, name: str) -> bool:
        """Runs the service's own health check."""
        process, port = self.running[name]
        assert process.poll() is None, (self.home / f"{name}.log").read_text()[-2000:]
        _, *check = (str(word).replace("9464", str(port)) for word in SERVICES[name]["healthcheck"]["test"])
        return subprocess.run([BIN / check[0], *check[1:]], capture_output=True).returncode == 0

    def stop(self) -> dict[str, int]:
        for process, _ in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(30) for name, (process, _) in self.running.items()}


@pytest.fixture
def composition(kafka: str, clickhouse: str, topic_prefix: str, database: str, tmp_path: Path) -> Iterator[Composition]:
    made = Composition(kafka, clickhouse, topic_prefix, database, tmp_path)
    with ExitStack() as leaving:
        yield made
        for process, _ in made.running.values():
            leaving.callback(process.kill)


@pytest.mark.integration
def test_the_services_of_the_compose_file_carry_a_span_to_clickhouse_and_leave_when_told(composition: Composition, clickhouse: str, database: str) -> None:  # fmt: skip
    (composition.home / "deploy").mkdir()
    first_key = next(line for line in PAGE.splitlines() if line.startswith("printf 'vd_"))
    composition.shell(first_key)
    composition.key = composition.home / "deploy/admin.key"
    composition.shell(SERVICES["setup"]["entrypoint"][2])
    for name in OURS:
        composition.start(name)
    until(lambda: all(composition.is_healthy(name) for name in OURS))
    admin = {"VEDETTE_API_URL": f"http://127.0.0.1:{composition.api}", "VEDETTE_ADMIN_KEY": composition.key.read_text().strip()}  # fmt: skip
    create = next(line for line in PAGE.splitlines() if line.startswith("vedette keys create"))
    key = re.search(r"vd_\S+", composition.shell(create, **admin))
    assert key is not None
    provider = TracerProvider()
    headers = {"authorization": f"Bearer {key[0]}"}
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{composition.otlp}/v1/traces", headers=headers)))  # fmt: skip
    with provider.get_tracer("agent").start_as_current_span("answer") as span:
        trace = f"{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    with closing(get_client(dsn=f"{clickhouse}/{database}")) as client:
        until(
            lambda: (
                client.query("SELECT project, trace_id FROM spans FINAL WHERE project != 'canary'").result_rows
                == [("shop", trace)]
            ),
            30,
        )
    assert set(composition.stop().values()) == {0}
