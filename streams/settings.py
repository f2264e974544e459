"""Every setting of every job: `VEDETTE_*`, nested with `__`, secrets also as `…_FILE`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.documents.base import Duration, Name
from schemas.net_guard import networks
from streams.logic.retention import DEFAULT, parse


class Settings(BaseSettings):
    """Read once, at start; a wrong value fails there with its name."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_", env_nested_delimiter="__", extra="ignore", frozen=True)

    bootstrap_servers: str = Field(default="127.0.0.1:9092", description="Kafka brokers, comma separated")
    kafka: dict[str, str] = Field(
        default={}, description="further librdkafka settings, dots as underscores: VEDETTE_KAFKA__SASL_USERNAME"
    )
    topic_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="stands before every topic and consumer group"
    )
    partitions: int = Field(
        default=12, ge=1, le=1000, description="of the topics at their creation; never changed in place"
    )
    replication: int = Field(default=1, ge=1, description="of the topics at their creation; 3 in a cluster")
    otlp_topics: dict[str, Name] = Field(
        default={}, description="further raw topics (a Collector's) and the project of each"
    )
    schema_registry: SecretStr = Field(
        default=SecretStr(""), description="http(s)://user:password@host:port of a schema registry; empty: none"
    )
    schema_registry_client: dict[str, str] = Field(
        default={},
        description="further settings of confluent-kafka's registry client, dots as underscores: VEDETTE_SCHEMA_REGISTRY_CLIENT__SSL_CA_LOCATION",
    )
    schema_registry_write: bool = Field(
        default=True, description="false: read by the registry, write without it; the first step of turning it on"
    )
    content_wait_s: float = Field(
        default=10,
        ge=0,
        le=300,
        description="seconds that a span waits for content in log events, if its instrumentation may send such; 0: never",
    )
    trace_idle_s: float = Field(
        default=600,
        ge=1,
        le=6 * 3600,
        description="seconds without a span after which a trace whose root or a parent did not come is judged as it is",
    )
    conditions_kept_s: float = Field(
        default=3600,
        ge=1,
        le=24 * 3600,
        description="seconds from the first satisfied condition of a rule that wants several in one trace to the last",
    )

    clickhouse_url: SecretStr = Field(
        default=SecretStr("http://127.0.0.1:8123"), description="http(s)://user:password@host:port"
    )
    clickhouse_database: str = Field(default="vedette", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,60}$")
    clickhouse_cluster: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]{0,100}$",
        description="name of a cluster with replication; empty: one server",
    )
    retention: str = Field(
        default=DEFAULT,
        description="how long topics and tables keep what: raw and dlq (topics), spans, scores and alerts (tables, and topics with the same); docs/clickhouse.md",
    )
    clickhouse_admin_url: SecretStr | None = Field(
        default=None,
        description="http(s)://user:password@host:port of a ClickHouse user that may make users; for `keys create --clickhouse`",
    )
    clickhouse_readers_dir: Path | None = Field(
        default=None, description="of the local ClickHouse, which takes its users from files; set by `vedette up`"
    )

    host: str = Field(default="127.0.0.1", description="address that everything of a job listens on")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="/livez, /readyz and /metrics of a job; 0: none")
    otlp_http_port: int = Field(default=4318, ge=0, le=65535)
    otlp_grpc_port: int = Field(default=4317, ge=0, le=65535, description="of the bridge, OTLP over gRPC; 0: none")
    api_port: int = Field(default=8787, ge=0, le=65535)
    api_url: str = Field(
        default="http://127.0.0.1:8787", description="where the api job answers; the bridge passes /api/v1 on to it"
    )
    public_url: str = Field(default="http://127.0.0.1:8787", description="begins the links in alerts")
    admin_key: SecretStr | None = Field(default=None, description="for commands that talk to a remote api")
    bootstrap_admin_key_file: Path | None = Field(
        default=None, description="holds the first admin key of an installation"
    )
    data_dir: Path = Field(default=Path(".vedette"), description="of the local stack")

    smtp_url: SecretStr | None = Field(
        default=None, description="smtp://user:password@host:port?tls=starttls for mail destinations without smtp"
    )
    smtp_from: str = Field(default="vedette@localhost", description="sender of mail whose destination names none")
    env_allow: dict[str, list[str]] = Field(
        default={},
        description="environment names that {env: NAME} may read, by project; * for all projects, or for all names",
    )
    private_networks: list[str] = Field(
        default=[],
        description='networks that hosts named by tenants may be in though they are not public, such as ["10.1.0.0/16"]; others of that kind are refused',
    )

    later_wait_s: float = Field(
        default=72 * 3600,
        ge=0,
        le=6 * 24 * 3600,
        description="seconds that an evaluation waits for a scorer that does not exist or cannot judge now, at most as long as `spans` are retained, less 1 h; 0: not at all",
    )
    later_tries: int = Field(default=100, ge=1, description="of a scorer that cannot judge now, before it is given up")
    later_most: int = Field(
        default=100_000,
        ge=1,
        description="evaluations that wait for one scorer of a project, three times as many for all of them in a partition; more are skipped at once",
    )
    later_pace: int = Field(
        default=200,
        ge=1,
        description="evaluations of one project that a worker lets go in a second when what they waited for comes",
    )

    watch_url: str = Field(default="http://127.0.0.1:4318", description="where `watch` sends its canaries: the bridge")
    watch_interval_s: float = Field(default=20, ge=1, le=60, description="seconds from one canary to the next")
    watch_patience_s: float = Field(
        default=20, ge=1, le=120, description="seconds that a canary may take to every stage before somebody is paged"
    )
    watch_port: int = Field(
        default=0, ge=0, le=65535, description="where `watch` takes the mails about its canaries; 0: a free one"
    )
    watch_host: str = Field(
        default="", description="by which `deliver` reaches that port; empty: the address it listens on"
    )
    watch_page: list[dict[str, Any]] = Field(
        default=[],
        description="whom `watch` pages: a JSON list of destinations' `spec`s; their secrets are read where it runs",
    )
    watch_ping_url: str = Field(
        default="", description="is called after every canary that came through: a dead man's switch of your own"
    )
    runner_url: str = Field(
        default="", description="where the runner job answers; the api has it build what is uploaded; empty: no uploads"
    )
    runner_token: SecretStr = Field(
        default=SecretStr(""), description="shared by the api and the runner: only who has it may build"
    )
    runner_port: int = Field(
        default=0, ge=0, le=65535, description="of the runner, for the api alone: builds and trials; 0: none"
    )
    runner_dir: Path | None = Field(
        default=None,
        description="where the runner keeps code and packages, and it and judges what they spent; sandboxes have uids of their own, so others must be able to reach it; default: a folder of the user in /var/tmp",
    )
    runner_cells: int = Field(default=32, ge=1, le=1000, description="sandboxes of the runner at once")
    runner_memory_mib: int = Field(default=512, ge=64, description="memory of one sandbox")
    runner_disk_mib: int = Field(
        default=10_240,
        ge=1,
        description="of packages and code that a runner keeps; above it those used longest ago go, none of the last 2 hours",
    )
    egress_allow: dict[str, list[str]] = Field(
        default={},
        description='hosts that hosted scorers may reach, host:port by project; * for all projects; for example {"shop": ["api.example.com:443"]}',
    )
    index_url: SecretStr = Field(
        default=SecretStr(""),
        description="simple API of the only package index for requirements of uploaded scorers; empty: the one of pip's configuration on the runner",
    )
    index_min_age: Duration = Field(
        default=0, description="younger files of the index are hidden, such as 7d; 0: none is"
    )
    index_allow: str = Field(
        default="",
        description="comma separated: the only packages that uploads may install, dependencies too; empty: all",
    )

    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    log_json: bool = Field(default=True, description="false: for people, in colour on a terminal")
    dlq_limit: int = Field(
        default=100, ge=1, description="undecodable records in a row on a topic of our own after which a job stops"
    )

    @field_validator("retention")
    @classmethod
    def _readable_retention(cls, text: str) -> str:
        parse(text)
        return text

    @field_validator("private_networks")
    @classmethod
    def _networks(cls, texts: list[str]) -> list[str]:
        networks(texts)
        return texts

    def environment(self) -> dict[str, str]:
        """Returns the variables that give a child process these settings."""
        values = self.model_dump(mode="python", exclude_defaults=True)
        return {f"VEDETTE_{name.upper()}": _text(value) for name, value in values.items() if value is not None}


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads the settings; `VEDETTE_X_FILE` gives `VEDETTE_X` the content of a file."""
    from_files: dict[str, Any] = {}
    for name, path in environ.items():
        setting = name.removeprefix("VEDETTE_").removesuffix("_FILE").lower()
        if name.startswith("VEDETTE_") and name.endswith("_FILE") and name != "VEDETTE_BOOTSTRAP_ADMIN_KEY_FILE":
            from_files[setting] = Path(path).read_text().strip()
    return Settings(**from_files)


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)


def reference(*classes: type[BaseSettings]) -> str:
    """Returns the page `docs/settings.md`, which tells every variable of these classes."""
    lines = ["# Settings", "", "Every job reads these; `VEDETTE_X_FILE` gives `VEDETTE_X` the content of a file.", ""]
    lines += ["| variable | default | |", "|---|---|---|"]
    return "\n".join([*lines, *(row for cls in classes for row in _rows(cls))]) + "\n"


def _rows(cls: type[BaseSettings]) -> Iterator[str]:
    for name, field in cls.model_fields.items():
        default = field.get_default()
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        value = f"`{shown}`" if shown not in (None, "", {}, []) else ""
        yield f"| `{cls.model_config['env_prefix']}{name.upper()}` | {value} | {field.description or ''} |"
