"""Which index pip uses on this machine, by its own configuration files and variables."""

import json
import subprocess
import sys
from typing import NamedTuple

_ASK = (
    "import json; from pip._internal.commands import create_command; "
    "asked = create_command('install').parser.get_default_values(); print(json.dumps([asked.index_url, asked.cert or '']))"
)
"""pip prints its configuration, but not its defaults; its own parser merges both."""


class PipSettings(NamedTuple):
    """What pip would use."""

    index_url: str
    certificates: str


def pip_settings() -> PipSettings:
    """Returns what `pip install` of this Python would use.

    Raises:
        LookupError: this Python has no pip, or it does not tell.

    """
    command = [sys.executable, "-c", _ASK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours
    try:
        return PipSettings(*json.loads(done.stdout))
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise LookupError(f"pip does not tell its index ({last}): set VEDETTE_INDEX_URL") from None
