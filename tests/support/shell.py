"""`vedette` as a shell runs it, against an installation of the tests."""

import os
import subprocess
import sys

from tests.support.jobs import Installation

COMMAND = (sys.executable, "-m", "streams.cli")


def environment(installation: Installation, **further: str) -> dict[str, str]:
    """The variables by which a command finds this installation and nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")}
    return {**clean, **installation.settings.environment(), **further}


def vedette(installation: Installation, *arguments: str, code: int = 0, **further: str) -> tuple[str, str]:
    """Runs a command and returns what it prints on stdout and stderr."""
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=installation.directory, env=environment(installation, **further),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, done.stderr
