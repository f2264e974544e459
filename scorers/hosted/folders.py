"""Folders of the host that sandboxes see: made once under the hash of what they hold, then read-only."""

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path


class Tampered(Exception):
    """A sandbox left something else than plain files and folders."""


def make(parent: Path, name: str) -> Path:
    """Returns a folder that every sandbox can reach, made if it is not there."""
    folder = parent / name
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Yields an empty folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(dir=make(parent, "work")))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Deletes a folder with what is read-only in it; what cannot go stays."""
    for path, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def keep_text(folder: Path, name: str, text: str) -> None:
    """Writes a file that nobody changes any more."""
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    path.chmod(0o444)


def seal(folder: Path) -> None:
    """Makes what a sandbox left ours and read-only, after its last process has ended.

    Raises:
        Tampered: there is a link, a device, or a file with a second name.

    """
    for path, found in _walk(folder):
        is_folder = stat.S_ISDIR(found.st_mode)
        if not is_folder and (not stat.S_ISREG(found.st_mode) or found.st_nlink != 1):
            raise Tampered(f"{path.relative_to(folder)} is no plain file")
        if found.st_uid != os.geteuid():
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        path.chmod(0o555 if is_folder else 0o444)


def publish(folder: Path, into: Path) -> Path:
    """Moves a finished folder to its name; whoever came first wins, they hold the same."""
    folder.chmod(0o755)  # a folder that is read-only cannot move
    try:
        folder.rename(into)
    except OSError:
        if not into.is_dir():
            raise
    into.chmod(0o555)
    os.utime(into)
    return into


def used(kept: Path) -> bool:
    """Tells whether a published folder is there, and notes that it was asked for now."""
    with _alone(kept.parent):
        try:
            os.utime(kept)
        except FileNotFoundError:
            return False
        return True


def take_away(kept: Path, in_use_since: float) -> bool:
    """Removes a published folder unless it was asked for since then; tells whether it did.

    It loses its name first: no moment, and no crash, leaves a part of it under that name.
    """
    gone = make(kept.parent.parent, "work") / f"gone-{secrets.token_hex(8)}"
    with _alone(kept.parent):
        try:
            if kept.stat().st_mtime >= in_use_since:
                return False
        except FileNotFoundError:
            return False
        kept.chmod(0o755)  # a folder that is read-only cannot move
        kept.rename(gone)
    remove(gone)
    return True


def sweep(parent: Path, in_use_since: float) -> None:
    """Removes scratch folders that nobody has changed since then: whoever made them was killed."""
    for left in make(parent, "work").iterdir():
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < in_use_since:
                remove(left)


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    """One at a time, of all threads and all runners of this machine; whoever dies lets go."""
    lock = os.open(parent.with_name(f"{parent.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # a process forked meanwhile has the descriptor, too
        os.close(lock)


def usage(folder: Path) -> tuple[int, int]:
    """Returns the bytes and the number of files below a folder, also while a sandbox fills it."""
    sizes = [found.st_size for _, found in _walk(folder)]
    return sum(sizes), len(sizes)


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    waiting = [folder]
    while waiting:
        one = waiting.pop()
        try:
            found = one.lstat()
            yield one, found
            if stat.S_ISDIR(found.st_mode):
                waiting += [Path(entry.path) for entry in os.scandir(one)]
        except FileNotFoundError:
            continue


def pip(parent: Path) -> Path:
    """Returns a folder that holds the host's own module `pip` and nothing else of its packages.

    Raises:
        LookupError: this Python has no pip.

    """
    found = find_spec("pip")
    if found is None or not found.submodule_search_locations:
        raise LookupError("this Python has no pip, which builds need: install it with `python -m ensurepip`")
    source = Path(found.submodule_search_locations[0])
    kept = make(parent, "pip") / _version(source)
    if not kept.exists():
        with scratch(parent) as folder:
            copied = folder / "pip"
            shutil.copytree(source, copied / "pip")
            seal(copied)
            publish(copied, kept)
    return kept


def _version(pip: Path) -> str:
    lines = (pip / "__init__.py").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("__version__")).split('"')[1]
