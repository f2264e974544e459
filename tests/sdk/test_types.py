"""Decorated functions keep their types for whoever checks them."""

import subprocess
import sys
from pathlib import Path


def test_a_type_checker_sees_through_decorators_scorers_and_results(tmp_path: Path) -> None:
    """`--warn-unused-ignores` of strict mode makes the one wrong call count."""
    typed = Path(__file__).with_name("typed.py")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "",
        "--cache-dir",
        str(tmp_path),
        "--follow-imports",
        "silent",
        str(typed),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
