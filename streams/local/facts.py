"""What a running local stack is and where it answers, kept in its data directory for other commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from streams.local import clickhouse
from streams.local.datadir import DataDir

ADMIN_KEY = "admin.key"
INGEST_KEY = "ingest.key"
_KEPT = "stack"


@dataclass(frozen=True)
class Facts:
    """Where the parts of one stack answer. `ready` becomes true when everything has come up once."""

    otlp_http: str
    otlp_grpc: str
    api: str
    kafka: str
    clickhouse_url: str
    """With user and password."""
    clickhouse_read_url: str
    """Without a user."""
    clickhouse_user: str
    clickhouse_password_file: str
    clickhouse_database: str = "vedette"
    topic_prefix: str = ""
    organization: str = "local"
    project: str = "default"
    demo: bool = False
    ready: bool = False

    def keep(self, data: DataDir) -> None:
        """Writes the facts into the data directory."""
        data.keep({_KEPT: asdict(self)})

    def not_ready(self) -> Facts:
        """The same facts for a stack that is starting or stopped."""
        return replace(self, ready=False)


def facts(data: DataDir) -> Facts | None:
    """Returns the facts of the stack that ran last on a data directory, None when there was none."""
    kept = data.settings().get(_KEPT)
    return None if kept is None else Facts(**kept)


def keep_not_ready(data: DataDir) -> None:
    """Notes that the stack on a data directory is not ready, or not any more."""
    known = facts(data)
    if known is not None and known.ready:
        known.not_ready().keep(data)


def reader_file(data: DataDir) -> Path:
    """Returns the file with the password of ClickHouse's reading user."""
    return data.clickhouse / f"{clickhouse.READER}.password"


def status(data: DataDir, processes: Mapping[str, Any], lags: Mapping[str, int]) -> dict[str, Any]:
    """Returns what `vedette status --json` prints, from what the stack wrote down about its processes and their lags."""
    known = facts(data)
    jobs = {name: _job(process, lags.get(name)) for name, process in processes.items()}
    state = _overall(known, [job["state"] for job in jobs.values()])
    told: dict[str, Any] = {"state": state, "data_dir": str(data.path)}
    if known is not None:
        told |= _endpoints(known) | {
            "ingest_key_file": str(data.path / INGEST_KEY),
            "admin_key_file": str(data.path / ADMIN_KEY),
        }
    return {**told, "jobs": jobs}


def _endpoints(known: Facts) -> dict[str, Any]:
    endpoints = {"otlp_http": known.otlp_http, "otlp_grpc": known.otlp_grpc, "api": known.api, "kafka": known.kafka}
    reading = {
        "url": known.clickhouse_read_url,
        "database": known.clickhouse_database,
        "user": known.clickhouse_user,
        "password_file": known.clickhouse_password_file,
    }
    return {
        "endpoints": endpoints,
        "clickhouse": reading,
        "organization": known.organization,
        "project": known.project,
    }


def _job(process: dict[str, Any], lag: int | None) -> dict[str, Any]:
    return {"state": process["state"], "pid": process["pid"], "restarts": process["restarts"], "lag": lag}


def _overall(known: Facts | None, states: list[str]) -> str:
    if not states or set(states) == {"stopped"}:
        return "stopped"
    if known is None or not known.ready:
        return "starting"
    return "ready" if set(states) == {"running"} else "degraded"
