"""The whole system as a user has it: `vedette up` and its commands, ClickHouse by the user that may read, agents that report to it.

with running(tmp_path / "data") as system:
    system.apply(DOCUMENTS)
    with Agent(system, "shop") as agent:
        agent.answer("Your parcel arrives tomorrow.")
    until(lambda: system.select("SELECT outcome FROM scores FINAL") == [{"outcome": "pass"}])
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from streams.local import stack, up
from streams.local.datadir import DataDir
from streams.local.ports import free_port
from streams.settings import Settings

VEDETTE = str(Path(sys.executable).with_name("vedette"))
JOBS = ("bridge", "normalise", "sample", "score", "match", "count", "deliver", "store", "api")
SLACK_TOKEN = "xoxb-test"
FREE_PORTS = ("--otlp-http-port", "0", "--otlp-grpc-port", "0", "--api-port", "0")


def until(done: Callable[[], bool], patience_s: float = 90, every_s: float = 0.3) -> None:
    """Waits until something is true."""
    end = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end, f"not within {patience_s:g} s"
        time.sleep(every_s)


@dataclass(frozen=True)
class Further:
    """A job's process beside the stack's own."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metric(self, name: str) -> float:
        """Returns the sum of a metric over its labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@dataclass
class System:
    """A stack on a data directory and what its user does with it."""

    data_dir: Path
    environment: dict[str, str]

    def vedette(self, *arguments: str, code: int = 0) -> str:
        """Runs a command against this stack and returns what it prints."""
        command = [VEDETTE, *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == code, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def apply(self, documents: str) -> None:
        """Applies documents; they are in effect when it returns."""
        file = self.data_dir.with_name("documents.yaml")
        file.write_text(documents)
        self.vedette("apply", "-f", str(file))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.vedette("status", "--json"))
        return found

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The status as it was when it was first asked for: what does not change while the stack runs."""
        return self.status()

    @property
    def bridge(self) -> str:
        """The one URL that agents know."""
        return str(self.facts["endpoints"]["otlp_http"])

    @property
    def settings(self) -> Settings:
        """The settings of a job of this stack."""
        return Settings(bootstrap_servers=self.facts["endpoints"]["kafka"], partitions=int(up.PARTITIONS))

    def key(self) -> str:
        """The key that may report to every project."""
        return Path(self.facts["ingest_key_file"]).read_text().strip()

    def processes(self) -> dict[str, dict[str, Any]]:
        """What the supervisor wrote down about each process: state, pid, restarts. Needs nobody's answer."""
        found: dict[str, dict[str, Any]] = stack.recorded(DataDir(self.data_dir))["processes"]
        return found

    def pids(self) -> dict[str, int]:
        """The processes of the stack that run now."""
        return {name: process["pid"] for name, process in self.processes().items() if process["pid"]}

    def is_drained(self) -> bool:
        """Tells whether every job runs and has read everything.

        Asked twice: what one job wrote while the first answer was made is another's to read in the second.
        """
        return self._has_no_lag() and self._has_no_lag()

    def _has_no_lag(self) -> bool:
        return all(job["state"] == "running" and job["lag"] == 0 for job in self.status()["jobs"].values())

    def log(self, job: str) -> str:
        return (self.data_dir / "logs" / f"{job}.log").read_text(errors="replace")

    def kill(self, *jobs: str) -> None:
        """kill -9; the supervisor starts them again."""
        before = self.processes()
        for job in jobs:
            os.kill(before[job]["pid"], signal.SIGKILL)
        until(lambda: all(self.processes()[job]["restarts"] > before[job]["restarts"] for job in jobs))

    @contextmanager
    def further(self, *command: str) -> Iterator["Further"]:
        """A further process of a job, started by its command, beside the one that the stack supervises."""
        port = free_port()
        told = {**self.environment, **self.settings.environment(), "VEDETTE_METRICS_PORT": str(port)}
        output = self.data_dir / "logs" / f"further-{command[0]}.log"
        with output.open("ab") as log:
            process = subprocess.Popen([VEDETTE, *command], env=told, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        further = Further(process, port)
        try:
            until(lambda: stack.answers_2xx(f"{further.url}/readyz"))
            yield further
        finally:
            process.terminate()
            process.wait(30)

    def select(self, query: str) -> list[dict[str, Any]]:
        """Runs a query as the reading user."""
        where = self.facts["clickhouse"]
        headers = {
            "X-ClickHouse-User": where["user"],
            "X-ClickHouse-Key": Path(where["password_file"]).read_text().strip(),
            "X-ClickHouse-Database": where["database"],
        }
        request = urllib.request.Request(where["url"], data=f"{query} FORMAT JSONEachRow".encode(), headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def post(
        self, path: str, body: bytes, key: str, project: str = "", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Posts to the bridge as a plain HTTP client does; returns status and body, status 0 when nobody answered."""
        asked = {"x-vedette-project": project} if project else {}
        told = {"authorization": f"Bearer {key}", "content-type": "application/json", **asked, **(headers or {})}
        request = urllib.request.Request(self.bridge + path, data=body, headers=told)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()
        except OSError:
            return 0, b""


@contextmanager
def running(data_dir: Path, *options: str, **environment: str) -> Iterator[System]:
    """A stack from `vedette up` to `vedette down`; variables of whoever runs the tests do not reach it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "OTEL_", "JUDGMENT_"))}
    system = System(data_dir, {**own, "SLACK_BOT_TOKEN": SLACK_TOKEN, **environment})
    system.vedette("up", "--detach", *FREE_PORTS, *options)
    try:
        yield system
    finally:
        system.vedette("down")


@dataclass
class Agent:
    """An agent as its author runs it: the stock SDK with the stock exporter for spans, plain HTTP for examples.

    It remembers what it sent.
    """

    system: System
    project: str
    name: str = "CustomerServiceAgent"
    key: str = ""
    spans: set[str] = field(default_factory=set)
    examples: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self.key = self.key or self.system.key()
        headers = {"authorization": f"Bearer {self.key}", "x-vedette-project": self.project}
        exporter = OTLPSpanExporter(self.system.bridge + "/v1/traces", headers=headers, timeout=30)
        self._provider = TracerProvider(resource=Resource({"service.name": self.project}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=100))
        return self

    def __exit__(self, *_: object) -> None:
        self._provider.shutdown()

    def answer(self, *replies: str) -> None:
        """The agent answers: one trace for each reply, ended and exported before this returns."""
        tracer = self._provider.get_tracer("agent")
        for reply in replies:
            with tracer.start_as_current_span("chat gpt-5-mini") as span:
                span.set_attributes(attributes(self.name, reply))
                context = span.get_span_context()
                self.spans.add(f"{context.trace_id:032x}:{context.span_id:016x}")
        assert self._provider.force_flush(30_000)

    def evaluate(self, example_id: str, output: str, *scorers: str) -> None:
        """Sends an example that names scorers, as often as it takes until the bridge has it."""
        example = {"id": example_id, "agent": self.name, "fields": {"output": output}, "scorers": scorers}
        body = json.dumps({"examples": [example]}).encode()

        def accepted() -> bool:
            status, answer = self.system.post("/v1/examples", body, self.key, self.project)
            return status == 200 and json.loads(answer)["ids"] == [example_id]

        until(accepted)
        self.examples.add(example_id)


def attributes(agent: str, reply: str) -> dict[str, str]:
    """The attributes of a span in which an agent calls a model, by OpenTelemetry's conventions."""
    messages = [{"role": "assistant", "parts": [{"type": "text", "content": reply}]}]
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.agent.name": agent,
        "gen_ai.output.messages": json.dumps(messages),
    }
