"""From an upload to what a sandbox runs: requirements resolved, locked and installed inside one, then the scorer instantiated there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIM = Path(__file__).parent / "shim"
"""The packages `vedette` and `judgeval` as a scorer's file imports them inside the sandbox."""


class BuildFailed(Exception):
    """The upload cannot run; the log tells its author why."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        self.log = log


@dataclass(frozen=True)
class Built:
    """A bundle that can run."""

    packages: Path | None
    """Read-only folder of what is installed, keyed by the lock; None: the bundle asks for nothing."""
    lock: str
    """Every package with its version and hash, as pip reads it."""
    manifest: Mapping[str, Any]
    """What instantiating the scorer told: `class_name`, `name`, `threshold`, `kind`, `fields`."""
    log: str
    notes: tuple[str, ...] = ()
