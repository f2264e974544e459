import os
import subprocess
import sys
import threading

import pytest

from streams.local.datadir import DataDir, DataDirError, InUseError, kept_secret, write_atomically

HOLDER = """
import sys, time
from pathlib import Path
from streams.local.datadir import DataDir
with DataDir(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path / ".vedette")


@pytest.fixture
def holder(data):
    """Another process that holds the directory."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def mode(path):
    return path.stat().st_mode & 0o777


def test_only_the_owner_can_look_into_the_directory_and_its_secrets(data):
    data.create()
    secret = data.secret("ingest.key")
    assert {mode(folder) for folder in (data.path, data.kafka, data.clickhouse, data.logs)} == {0o700}
    assert mode(secret) == 0o600


def test_a_directory_that_was_open_to_others_is_closed(data):
    data.create()
    data.path.chmod(0o755)
    data.create()
    assert mode(data.path) == 0o700


def test_a_secret_is_made_once(data):
    data.create()
    first = data.secret("admin.key").read_text()
    assert len(first.strip()) == 64
    assert data.secret("admin.key").read_text() == first


def test_two_who_make_a_secret_at_once_get_the_same(tmp_path):
    got, start = [], threading.Barrier(8)

    def make():
        start.wait()
        got.append(kept_secret(tmp_path / "secret", lambda: os.urandom(8).hex()))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_settings_are_kept_on_top_of_each_other(data):
    data.create()
    data.keep({"organization": "o", "ports": {"kafka": 1}})
    data.keep({"ports": {"kafka": 2}})
    assert DataDir(data.path).settings() == {"organization": "o", "ports": {"kafka": 2}}


def test_somebody_elses_directory_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataDirError, match="not empty and not a Vedette data directory"):
        DataDir(tmp_path).create()
    with pytest.raises(DataDirError):
        DataDir(tmp_path).wipe()
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_start_on_the_directory_is_refused_and_told_the_process(data, holder):
    with pytest.raises(InUseError, match=f"process {holder.pid} is running on .*--data-dir"), data.locked():
        pass
    assert data.holder() == holder.pid


def test_a_killed_holder_leaves_the_directory_free(data, holder):
    holder.kill()
    holder.wait()
    assert data.holder() is None
    with data.locked():
        assert data.holder() == os.getpid()
    assert data.holder() is None


def test_asking_for_the_holder_never_refuses_a_start(data):
    data.create()
    done = threading.Event()

    def ask():
        while not done.is_set():
            data.holder()

    asker = threading.Thread(target=ask)
    asker.start()
    for _ in range(50):
        with data.locked():
            pass
    done.set()
    asker.join()


def test_a_directory_in_use_is_not_wiped(data, holder):
    with pytest.raises(InUseError):
        data.wipe()
    assert data.path.exists()


def test_wiping_deletes_everything_and_is_no_error_twice(data):
    data.create()
    data.secret("ingest.key")
    data.wipe()
    assert not data.path.exists()
    data.wipe()


def test_a_file_written_atomically_leaves_nothing_else(tmp_path):
    write_atomically(tmp_path / "a.json", "one")
    write_atomically(tmp_path / "a.json", "two")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.json", "two")]
