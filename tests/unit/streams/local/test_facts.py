"""What `vedette status` tells about a data directory."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.local.datadir import DataDir
from streams.local.facts import Facts, facts, keep_not_ready, status
from streams.local.narrative import Jobs
from streams.local.stack import recorded

KNOWN = Facts(
    otlp_http="http://127.0.0.1:4318", otlp_grpc="127.0.0.1:4317", api="http://127.0.0.1:8787", kafka="127.0.0.1:19092",
    clickhouse_url="http://vedette:secret@127.0.0.1:18123", clickhouse_read_url="http://127.0.0.1:18123",
    clickhouse_user="vedette_read", clickhouse_password_file="x/clickhouse/vedette_read.password", ready=True,
)  # fmt: skip


def written(data: DataDir, **states: str) -> None:
    processes = {name: {"state": state, "pid": 7, "restarts": 1} for name, state in states.items()}
    data.state_file.write_text(json.dumps({"pid": 1, "processes": processes}))


def test_the_status_has_the_promised_form_and_no_secret(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "x")
    with data.locked():
        KNOWN.keep(data)
        written(data, bridge="running")
        told = status(data, recorded(data)["processes"], {"bridge": 3})
    assert told == {
        "state": "ready",
        "data_dir": str(data.path),
        "endpoints": {
            "otlp_http": "http://127.0.0.1:4318", "otlp_grpc": "127.0.0.1:4317",
            "api": "http://127.0.0.1:8787", "kafka": "127.0.0.1:19092",
        },
        "clickhouse": {
            "url": "http://127.0.0.1:18123", "database": "vedette", "user": "vedette_read",
            "password_file": "x/clickhouse/vedette_read.password",
        },
        "organization": "local",
        "project": "default",
        "ingest_key_file": str(data.path / "ingest.key"),
        "admin_key_file": str(data.path / "admin.key"),
        "jobs": {"bridge": {"state": "running", "pid": 7, "restarts": 1, "lag": 3}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("ready", "states", "expected"),
    [
        (True, {"a": "running", "b": "running"}, "ready"),
        (True, {"a": "running", "b": "restarting"}, "degraded"),
        (True, {"a": "running", "b": "starting"}, "degraded"),
        (False, {"a": "running", "b": "running"}, "starting"),
        (False, {"a": "starting"}, "starting"),
        (True, {"a": "stopped"}, "stopped"),
    ],
)
def test_a_stack_is_ready_when_all_came_up_and_all_run(
    tmp_path: Path, ready: bool, states: dict[str, Any], expected: str
) -> None:
    data = DataDir(tmp_path / "x")
    with data.locked():
        (KNOWN if ready else KNOWN.not_ready()).keep(data)
        written(data, **states)
        assert status(data, recorded(data)["processes"], {})["state"] == expected


def test_a_killed_stack_is_stopped_whatever_it_left_written(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "x")
    with data.locked():
        KNOWN.keep(data)
        written(data, bridge="running")
    told = status(data, recorded(data)["processes"], {})
    assert (told["state"], told["jobs"]["bridge"]) == (
        "stopped", {"state": "stopped", "pid": None, "restarts": 1, "lag": None},
    )  # fmt: skip


def test_a_job_that_goes_down_and_comes_back_is_told_once_each(tmp_path: Path) -> None:
    data, told = DataDir(tmp_path / "x"), list[str]()
    jobs = Jobs(data, told.append)
    with data.locked():
        for state in ("running", "restarting", "restarting", "starting", "running", "running"):
            written(data, bridge=state)
            jobs.look()
    assert [line.partition("  ")[2] for line in told] == [
        f"bridge is restarting; see {data.logs}/bridge.log", f"bridge is starting; see {data.logs}/bridge.log", "bridge is running",
    ]  # fmt: skip


def test_facts_are_kept_between_starts(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "x")
    data.create()
    assert facts(data) is None
    KNOWN.keep(data)
    assert facts(data) == KNOWN
    keep_not_ready(data)
    assert facts(data) == KNOWN.not_ready()
