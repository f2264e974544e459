import json
import os
import subprocess
import sys

import pytest

from streams.local.datadir import DataDir, InUseError
from streams.local.restarts import State
from streams.local.stack import JobSpec, LocalStack, overall, recorded, stop_running
from streams.local.supervisor import NotReadyError

JOB = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
    def log_message(self, *_): pass
print(json.dumps({k: v for k, v in os.environ.items() if k.startswith("VEDETTE_")}))
HTTPServer(("127.0.0.1", int(os.environ["VEDETTE_METRICS_PORT"])), Ready).serve_forever()
"""


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path / ".vedette")


def stack(data):
    return LocalStack(data, bootstrap_servers="broker:9092", clickhouse_url="http://u:p@ch:8123")


def job(name, **env):
    return JobSpec(name, (sys.executable, "-c", JOB), env)


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([], "stopped"),
        ([State.STOPPED, State.STOPPED], "stopped"),
        ([State.RUNNING, State.STARTING], "starting"),
        ([State.RUNNING, State.RUNNING], "ready"),
        ([State.RUNNING, State.RESTARTING], "degraded"),
        ([State.STARTING, State.RESTARTING], "degraded"),
        ([State.RUNNING, State.STOPPED], "degraded"),
    ],
)
def test_the_state_of_a_stack_is_that_of_its_weakest_process(states, whole):
    assert overall(states) == whole


def test_jobs_are_told_where_the_servers_are_and_their_own_metrics_port(data):
    with stack(data) as running:
        running.start_servers()
        running.start_jobs([job("bridge", VEDETTE_EXTRA="x"), job("store")])
        assert running.state() == "ready"
        assert json.loads((data.logs / "bridge.log").read_text()) == {
            "VEDETTE_BOOTSTRAP_SERVERS": "broker:9092",
            "VEDETTE_CLICKHOUSE_URL": "http://u:p@ch:8123",
            "VEDETTE_METRICS_PORT": str(running.metrics_ports["bridge"]),
            "VEDETTE_EXTRA": "x",
        }
        assert data.settings()["metrics_ports"] == running.metrics_ports
        written = recorded(data)
        assert written["pid"] == os.getpid()
        assert {name: process["state"] for name, process in written["processes"].items()} == {
            "bridge": "running",
            "store": "running",
        }
    assert {process["state"] for process in recorded(data)["processes"].values()} == {"stopped"}


def test_a_stack_that_was_killed_is_recorded_as_stopped(data):
    data.create()
    data.state_file.write_text(
        json.dumps(
            {"pid": 1, "processes": {"kafka": {"state": "running", "pid": 1, "restarts": 0, "exit_status": None}}}
        )
    )
    assert recorded(data) == {
        "pid": None,
        "processes": {"kafka": {"state": "stopped", "pid": None, "restarts": 0, "exit_status": None}},
    }


def test_a_data_directory_without_a_stack_records_nothing(data):
    assert recorded(data) == {"pid": None, "processes": {}}


def test_two_stacks_on_one_directory_are_refused(data):
    with stack(data), pytest.raises(InUseError), stack(data):
        pass


def test_a_running_stack_is_stopped_from_outside_with_its_jobs(data):
    code = (
        "import signal, sys, threading; from pathlib import Path\n"
        "from streams.local.datadir import DataDir; from streams.local.stack import JobSpec, LocalStack\n"
        "asked = threading.Event(); signal.signal(signal.SIGTERM, lambda *_: asked.set())\n"
        "with LocalStack(DataDir(Path(sys.argv[1])), bootstrap_servers='b', clickhouse_url='c') as stack:\n"
        "    stack.start_jobs([JobSpec('job', (sys.executable, '-c', sys.argv[2]))])\n"
        "    print('up', flush=True); asked.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(data.path), JOB], stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"up\n"
        assert stop_running(data) is True
        assert owner.wait(10) == 0
    assert recorded(data)["processes"]["job"]["state"] == "stopped"
    assert stop_running(data) is False


def test_a_job_that_never_becomes_ready_is_an_error_and_everything_is_stopped(data):
    silent = JobSpec("silent", (sys.executable, "-c", "import time; print('hm', flush=True); time.sleep(60)"))
    with pytest.raises(NotReadyError, match="silent is starting"), stack(data) as running:
        running.start_jobs([job("bridge"), silent], timeout=2)
    assert {process["state"] for process in recorded(data)["processes"].values()} == {"stopped"}
    assert data.holder() is None
