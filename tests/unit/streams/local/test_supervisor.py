import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.local.restarts import State
from streams.local.supervisor import NotReadyError, Process, Supervisor


@pytest.fixture
def supervisor(tmp_path):
    (tmp_path / "logs").mkdir()
    running = Supervisor(tmp_path / "logs", tmp_path / "state.json", grace=2.0)
    yield running
    running.stop()


def python(code, *arguments):
    return (sys.executable, "-c", code, *map(str, arguments))


def eventually(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_process_runs_with_its_environment_and_its_output_in_its_log(supervisor, tmp_path):
    code = "import os, sys, time; print(os.environ['WHO']); print('oops', file=sys.stderr, flush=True); time.sleep(60)"
    supervisor.start(
        Process("job", python("import sys; sys.stdout.reconfigure(line_buffering=True);" + code), {"WHO": "me"})
    )
    supervisor.wait_ready("job", 10)
    eventually(lambda: (tmp_path / "logs" / "job.log").read_text() == "me\noops\n")


def test_a_killed_process_is_started_again_and_the_state_file_shows_it(supervisor, tmp_path):
    supervisor.start(Process("job", ("sleep", "60")))
    supervisor.wait_ready("job", 10)
    first = supervisor.lives()["job"].pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.lives()["job"].restarts == 1 and supervisor.lives()["job"].state == State.RUNNING)
    second = supervisor.lives()["job"].pid
    assert second != first
    assert json.loads((tmp_path / "state.json").read_text()) == {
        "pid": os.getpid(),
        "processes": {"job": {"state": "running", "pid": second, "restarts": 1, "exit_status": -9}},
    }


def test_a_process_is_starting_until_it_answers(supervisor, tmp_path):
    supervisor.start(Process("job", ("sleep", "60"), ready=(tmp_path / "up").exists))
    eventually(lambda: supervisor.lives().get("job") and supervisor.lives()["job"].pid)
    assert supervisor.lives()["job"].state == State.STARTING
    with pytest.raises(NotReadyError, match="job is starting and not ready after 0 s"):
        supervisor.wait_ready("job", 0.1)
    (tmp_path / "up").touch()
    supervisor.wait_ready("job", 10)


def test_a_process_that_cannot_run_is_told_with_what_it_said(supervisor):
    supervisor.start(Process("job", python("raise SystemExit('no such topic')"), ready=lambda: False))
    with pytest.raises(NotReadyError, match=r"(?s)job ended 3 times in a row:.*no such topic"):
        supervisor.wait_ready("job", 30)


def test_a_probe_that_fails_does_not_take_the_others_down(supervisor):
    supervisor.start(Process("broken", ("sleep", "60"), ready=lambda: 1 / 0 > 0))
    supervisor.start(Process("sound", ("sleep", "60")))
    supervisor.wait_ready("sound", 10)
    assert supervisor.lives()["broken"].state == State.STARTING


def test_stopping_ends_higher_tiers_first_and_last_started_first(supervisor, tmp_path):
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def leave(*_):\n"
        "    time.sleep(float(sys.argv[3])); open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, leave); open(sys.argv[1] + sys.argv[2], 'w')\n"
        "time.sleep(60)"
    )
    for name, tier, takes in (("server", 0, 0), ("a", 1, 0.4), ("b", 1, 0)):
        up = tmp_path / f"order{name}"
        supervisor.start(Process(name, python(code, order, name, takes), ready=up.exists, tier=tier))
        supervisor.wait_ready(name, 10)
    supervisor.stop()
    assert order.read_text() == "baserver"
    assert {life.state for life in supervisor.lives().values()} == {State.STOPPED}


def test_a_process_that_ignores_the_request_to_end_is_killed_with_its_children(supervisor, tmp_path):
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '60']); open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(60)"
    )
    note = tmp_path / "child"
    supervisor.start(Process("deaf", python(code, note), ready=lambda: note.exists() and note.read_text() != ""))
    supervisor.wait_ready("deaf", 10)
    pids = [supervisor.lives()["deaf"].pid, int(note.read_text())]
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 4
    eventually(lambda: not any(map(alive, pids)))


def test_children_end_when_the_supervisor_is_killed(tmp_path):
    (tmp_path / "logs").mkdir()
    code = (
        "import sys, time; from pathlib import Path; from streams.local.supervisor import *\n"
        "s = Supervisor(Path(sys.argv[1]) / 'logs', Path(sys.argv[1]) / 'state.json')\n"
        "s.start(Process('job', ('sleep', '60'))); s.wait_ready('job', 10)\n"
        "print(s.lives()['job'].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(python(code, tmp_path), stdout=subprocess.PIPE) as owner:
        child = int(owner.stdout.readline())
        assert alive(child)
        owner.kill()
        owner.wait()
        eventually(lambda: not alive(child))
