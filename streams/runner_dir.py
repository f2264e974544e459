"""Where a runner keeps code, packages and doors: a folder that is ours, and that the uids of sandboxes can reach."""

import os
import stat
from pathlib import Path

from streams.settings import Settings

SHARED = Path("/var/tmp")  # noqa: S108 - a folder of the user in it, checked to be ours


def runner_dir(settings: Settings) -> Path:
    """Returns the folder, made if it is not there.

    Raises:
        RuntimeError: somebody else's stands in its place.

    """
    folder = settings.runner_dir or SHARED / f"vedette-runner-{os.geteuid()}"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RuntimeError(f"{folder} belongs to another user: name another folder with VEDETTE_RUNNER_DIR")
    folder.chmod(0o755)
    return folder
