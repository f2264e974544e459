import os
import subprocess
import sys

from streams.local import pidlock

HOLDER = (
    "import sys; from pathlib import Path; from streams.local import pidlock; lock = pidlock.take(Path(sys.argv[1]))"
)


def test_the_lock_names_its_holder_until_it_is_released(tmp_path):
    file = tmp_path / "lock"
    assert pidlock.holder(file) is None
    with pidlock.take(file):
        assert pidlock.holder(file) == os.getpid()
        assert pidlock.take(file) is None
    assert pidlock.holder(file) is None
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_lock_outlives_the_change_of_program_if_its_file_is_inherited(tmp_path):
    file = tmp_path / "lock"
    code = f"{HOLDER}; import os; os.set_inheritable(lock.fileno(), True); os.execlp('cat', 'cat')"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdin.write(b"x")
        other.stdin.flush()
        assert other.stdout.read(1) == b"x"  # it is `cat` by now
        assert pidlock.holder(file) == other.pid
        other.kill()
        other.wait()
    assert pidlock.holder(file) is None
    assert pidlock.named(file) == other.pid


def test_the_next_holder_replaces_the_name_of_one_that_was_killed(tmp_path):
    file = tmp_path / "lock"
    file.write_text("4194304\n")
    assert pidlock.holder(file) is None
    with pidlock.take(file):
        assert file.read_text() == f"{os.getpid()}\n"
