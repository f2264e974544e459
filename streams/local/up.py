"""The whole system on one machine, in the foreground: servers, topics, tables, api, keys, jobs, and the demo."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

from confluent_kafka import KafkaException
from pydantic import SecretStr

from schemas.documents.key import key_id, new_key
from sinks.clickhouse import migrate
from sinks.clickhouse.client import connect
from sinks.sink import Permanent, Transient
from streams import store, topics
from streams.cli.client import ApiError, Client
from streams.local import clickhouse, demo, narrative
from streams.local.datadir import DataDir, DataDirError, write_atomically
from streams.local.environment import environment_text
from streams.local.facts import ADMIN_KEY, INGEST_KEY, Facts, keep_not_ready, reader_file
from streams.local.ports import LOOPBACK, PortTakenError, kept_port
from streams.local.stack import JobSpec, LocalStack
from streams.local.supervisor import NotReadyError
from streams.settings import Settings

JOBS: dict[str, tuple[str, ...]] = {
    "bridge": ("bridge",),
    "normalise": ("normalise",),
    "complete": ("complete",),
    "sample": ("sample",),
    "score": ("score", "--class", "code"),
    "judge": ("score", "--class", "judge"),
    "runner": ("runner",),
    "later": ("later",),
    "match": ("match",),
    "count": ("count",),
    "deliver": ("deliver",),
    "store": ("store",),
}
PARTITIONS = "4"
PRIVATE = '["127.0.0.0/8", "::1/128"]'
"""Models and webhooks of this machine may be named."""

KNOWN = (
    DataDirError, PortTakenError, NotReadyError, ApiError, Transient, Permanent, migrate.MigrationRefused, KafkaException, OSError, ValueError,
)  # fmt: skip
"""What can go wrong outside of us, each with a text that says what to do."""


@dataclass(frozen=True)
class Options:
    """What `vedette up` was asked for."""

    data_dir: Path
    demo: bool = False
    host: str = LOOPBACK
    otlp_http_port: int = 4318
    otlp_grpc_port: int = 4317
    api_port: int = 8787
    kafka_port: int = 0
    clickhouse_port: int = 0
    bootstrap_servers: str | None = None
    clickhouse_url: str | None = None


@dataclass(frozen=True)
class Ports:
    """The ports of the jobs that others call."""

    otlp_http: int
    otlp_grpc: int
    api: int
    runner: int


class Stopped(BaseException):
    """Somebody asked the stack to stop; raised in the main thread, wherever it is."""


Tell = Callable[[str], None]


def run(options: Options, show: Tell, tell: Tell) -> None:
    """Runs the stack until SIGINT or SIGTERM, and stops everything within ten seconds then.

    `show` gets the variables for agents, `tell` the rest of what there is to say.
    """
    _stop_on_signals()
    data = DataDir(options.data_dir)
    stack = LocalStack(
        data,
        kafka_port=options.kafka_port,
        clickhouse_port=options.clickhouse_port,
        bootstrap_servers=options.bootstrap_servers,
        clickhouse_url=options.clickhouse_url,
        readable=(_database(),),
    )
    try:
        with stack:
            _run(stack, options, show, tell)
    except Stopped:
        tell("stopped")


def _run(stack: LocalStack, options: Options, show: Tell, tell: Tell) -> None:
    data = stack.data
    keep_not_ready(data)  # one that was killed could not note it
    try:
        known = start(stack, options, tell)
        show(environment_text(known, data))
        narrative.follow(known, data, tell)
    finally:
        keep_not_ready(data)


def _stop_on_signals() -> None:
    def stop(*_: object) -> NoReturn:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # stopping takes seconds, and a second Ctrl-C must not tear it
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def start(stack: LocalStack, options: Options, tell: Tell) -> Facts:
    """Starts everything in order and returns where it answers."""
    data = stack.data
    ports = _ports(data, options)
    servers = {"Kafka": options.bootstrap_servers, "ClickHouse": options.clickhouse_url}
    own = [name for name, existing in servers.items() if existing is None]
    if own:
        tell(f"starting {' and '.join(own)} on {data.path} ...")
    stack.start_servers()
    known = _facts(stack, options, ports)
    known.not_ready().keep(data)
    settings = Settings(
        bootstrap_servers=stack.bootstrap_servers,
        clickhouse_url=SecretStr(stack.clickhouse_url),
        partitions=int(os.environ.get("VEDETTE_PARTITIONS", PARTITIONS)),
    )  # the rest comes from the environment
    _prepare(settings)
    tell("starting the jobs ...")
    env = environment(known, data, ports, options)
    if options.demo:
        env |= demo.start_stand_ins(stack.supervisor, data)
    stack.start_jobs([_job("api", ("api",), env)])
    admin = Client(known.api, (data.path / ADMIN_KEY).read_text().strip())
    _ingest_key(admin, data)
    _provider(admin)
    stack.start_jobs([_job(name, arguments, env) for name, arguments in JOBS.items()])
    if options.demo:
        demo.apply(admin, env)
        demo.start_agent(stack.supervisor, known, data)
        threading.Thread(target=demo.upload, args=(admin, env, tell), daemon=True, name="demo").start()
    known.keep(data)
    return known


def _ports(data: DataDir, options: Options) -> Ports:
    data.create()

    def kept(name: str, port: int) -> int:
        return kept_port(data.path / f"{name}.port", port, f"--{name}-port")

    return Ports(
        kept("otlp-http", options.otlp_http_port),
        kept("otlp-grpc", options.otlp_grpc_port),
        kept("api", options.api_port),
        kept("runner", 0),
    )


def _facts(stack: LocalStack, options: Options, ports: Ports) -> Facts:
    host = LOOPBACK if options.host in ("0.0.0.0", "::") else options.host  # noqa: S104 - compared, not bound
    parts = urlsplit(stack.clickhouse_url)
    address = parts.netloc.rpartition("@")[2]
    user, file = clickhouse.READER, reader_file(stack.data)
    if options.clickhouse_url is not None:
        user, file = parts.username or "default", stack.data.path / "clickhouse.password"
        write_atomically(file, f"{parts.password or ''}\n")
    return Facts(
        otlp_http=f"http://{host}:{ports.otlp_http}",
        otlp_grpc=f"{host}:{ports.otlp_grpc}",
        api=f"http://{host}:{ports.api}",
        kafka=stack.bootstrap_servers,
        clickhouse_url=stack.clickhouse_url,
        clickhouse_read_url=urlunsplit(parts._replace(netloc=address)),
        clickhouse_user=user,
        clickhouse_password_file=str(file),
        clickhouse_database=_database(),
        topic_prefix=os.environ.get("VEDETTE_TOPIC_PREFIX", ""),
        demo=options.demo,
        ready=True,
    )


def _database() -> str:
    return os.environ.get("VEDETTE_CLICKHOUSE_DATABASE", "vedette")


def _prepare(settings: Settings) -> None:
    """Topics and tables, made by the same code as `vedette topics` and `vedette migrate`."""
    topics.create(settings)
    topics.retain(settings)
    server = connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)
    migrate.migrate(server, store.flavour(settings))
    server.close()


def environment(known: Facts, data: DataDir, ports: Ports, options: Options) -> dict[str, str]:
    """Returns what every job is told beyond the addresses of the servers."""
    own = {} if options.clickhouse_url else {"VEDETTE_CLICKHOUSE_READERS_DIR": str(clickhouse.readers(data.clickhouse))}
    return own | {
        "VEDETTE_PARTITIONS": os.environ.get("VEDETTE_PARTITIONS", PARTITIONS),
        "VEDETTE_HOST": options.host,
        "VEDETTE_OTLP_HTTP_PORT": str(ports.otlp_http),
        "VEDETTE_OTLP_GRPC_PORT": str(ports.otlp_grpc),
        "VEDETTE_API_PORT": str(ports.api),
        "VEDETTE_API_URL": known.api,
        "VEDETTE_RUNNER_PORT": str(ports.runner),
        "VEDETTE_RUNNER_URL": f"http://{LOOPBACK}:{ports.runner}",
        "VEDETTE_RUNNER_TOKEN": data.secret("runner.token", lambda: secrets.token_hex(32)).read_text().strip(),
        "VEDETTE_PRIVATE_NETWORKS": os.environ.get("VEDETTE_PRIVATE_NETWORKS", PRIVATE),
        "VEDETTE_PUBLIC_URL": os.environ.get("VEDETTE_PUBLIC_URL", known.api),
        "VEDETTE_ENV_ALLOW": os.environ.get("VEDETTE_ENV_ALLOW", '{"*": ["*"]}'),
        "VEDETTE_BOOTSTRAP_ADMIN_KEY_FILE": str(_admin_key_file(data)),
        "VEDETTE_DATA_DIR": str(data.path),
    }


def _admin_key_file(data: DataDir) -> Path:
    return data.secret(ADMIN_KEY, lambda: new_key(os.urandom(32), os.urandom(6))).resolve()


def _job(name: str, arguments: tuple[str, ...], env: Mapping[str, str]) -> JobSpec:
    return JobSpec(name, (sys.executable, "-m", "streams.cli", *arguments), env)


def _ingest_key(admin: Client, data: DataDir) -> None:
    """The key that agents report with; a new one when the configuration does not know the kept one."""
    file = data.path / INGEST_KEY
    kept = key_id(file.read_text().strip()) if file.exists() else None
    if kept is None or kept not in {key["id"] for key in admin.get("/api/v1/keys")["keys"]}:
        wanted = {"all": True, "scopes": ["ingest"], "label": "agents on this machine"}
        write_atomically(file, admin.post("/api/v1/keys", wanted)["key"] + "\n")


def _provider(admin: Client) -> None:
    """An LLM provider named openai for all projects, when the environment has a key for one."""
    if not os.environ.get("OPENAI_API_KEY"):
        return
    spec = {"type": "openai", "api_key": {"env": "OPENAI_API_KEY"}, "base_url": os.environ.get("OPENAI_BASE_URL")}
    metadata = {"name": "openai", "project": ""}
    document = {"apiVersion": "vedette/v1", "kind": "Provider", "metadata": metadata, "spec": spec}
    admin.put("/api/v1/documents", [document])
