"""The directory in which `vedette up` keeps everything: layout, settings, secrets, and the lock against a second start."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.local import pidlock


class DataDirError(Exception):
    """The directory cannot be used; the text says why and what to do."""


class InUseError(DataDirError):
    """Another `vedette up` runs on the directory; `pid` is its process."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(
            f"process {pid} is running on {path}: stop it with `vedette down`, or choose another --data-dir"
        )
        self.pid = pid


@dataclass(frozen=True)
class DataDir:
    """A data directory, mode 0700; every file in it that holds a secret is 0600."""

    path: Path

    @property
    def kafka(self) -> Path:
        return self.path / "kafka"

    @property
    def clickhouse(self) -> Path:
        return self.path / "clickhouse"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def _settings_file(self) -> Path:
        return self.path / "settings.json"

    @property
    def _lock_file(self) -> Path:
        return self.path / "lock"

    def create(self) -> None:
        """Makes the directory if there is none. Refuses one that holds something else: `wipe` would delete from it."""
        if self.path.exists() and not self._lock_file.exists() and any(self.path.iterdir()):
            raise DataDirError(f"{self.path} is not empty and not a Vedette data directory: choose another --data-dir")
        for folder in (self.path, self.kafka, self.clickhouse, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self._lock_file.touch(mode=0o600)

    def settings(self) -> dict[str, Any]:
        """What was kept here, such as the ports that were chosen; empty for a new directory."""
        if not self._settings_file.exists():
            return {}
        kept: dict[str, Any] = json.loads(self._settings_file.read_text())
        return kept

    def keep(self, changes: dict[str, Any]) -> None:
        """Keeps `changes` on top of the settings that are there."""
        write_atomically(self._settings_file, json.dumps(self.settings() | changes, indent=2) + "\n")

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_hex(32)) -> Path:
        """The file of a secret, which `make` provides at the first call."""
        file = self.path / name
        kept_secret(file, make)
        return file

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory for this process. Raises `InUseError` if another one does. Creates it if need be."""
        self.create()
        held = pidlock.take(self._lock_file)
        if held is None:
            raise InUseError(self.path, pidlock.named(self._lock_file))
        with held:
            yield

    def holder(self) -> int | None:
        """The process that holds the directory; None if nobody does, whatever a killed one left written there."""
        return pidlock.holder(self._lock_file)

    def wipe(self) -> None:
        """Deletes the directory with all data and secrets. Raises `InUseError` while a stack runs on it."""
        if not self.path.exists():
            return
        with self.locked():
            shutil.rmtree(self.path)


def kept_secret(file: Path, make: Callable[[], str]) -> str:
    """The secret in `file`, mode 0600. The first caller makes it; of two at once both get the same."""
    if not file.exists():
        written = _temporary(file, make() + "\n")
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(written)
        written.unlink()
    return file.read_text().strip()


def write_atomically(file: Path, text: str) -> None:
    """Replaces the contents of `file`, mode 0600; a reader sees the old text or the new one."""
    _temporary(file, text).replace(file)


def _temporary(file: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    return Path(name)
