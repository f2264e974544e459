"""A local stack of this machine, as its own command tells about it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STATUS_S = 30


def stack(data_dir: str, environ: Mapping[str, str], key: str) -> tuple[str, str] | None:
    """Returns the URL of the stack of a data directory and one of its keys: "ingest" or "admin"; None when there is none."""
    command = [sys.executable, "-m", "vedette.cli", "status", "--json", "--data-dir", data_dir]
    try:
        told = subprocess.run(  # noqa: S603 - our own command
            command, env=dict(environ), capture_output=True, text=True, timeout=STATUS_S, check=False
        ).stdout
        facts = json.loads(told)
        return str(facts["endpoints"]["otlp_http"]), Path(facts[f"{key}_key_file"]).read_text().strip()
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired):
        return None
