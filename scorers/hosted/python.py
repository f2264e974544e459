"""The Python that sandboxes run, and whether their uids can reach what they are given."""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

INSIDE = Path(__file__).parent / "inside"


@cache
def interpreter() -> Path | None:
    """Returns a Python of this process's version that a sandbox can reach: the one that made the environment, else the system's."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix, "bin", version)
    candidates = (base, Path("/usr/bin", version), Path("/usr/local/bin", version))
    return next((path for path in candidates if path.exists() and not closed(path)), None)


@cache
def missing_python() -> str:
    """Returns what to do when `interpreter` finds none."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"other users cannot reach {sys.base_prefix}: chmod o+x {closed(Path(sys.base_prefix))}, or install {version}"
    )


def closed(path: Path) -> Path | None:
    """Returns the folder on the way, or the path itself, that is not open to a sandbox's uid; None: it can be reached."""
    if os.geteuid() != 0:
        return None
    path = path.resolve()
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    mode = path.stat().st_mode
    wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return None if mode & wanted == wanted else path


@cache
def reachable(folder: Path) -> Path:
    """Returns a small folder of our own, or a copy of it for as long as this process lives, that sandboxes can reach."""
    if not closed(folder):
        return folder
    copy = Path(tempfile.mkdtemp(prefix="vedette-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy / folder.name
