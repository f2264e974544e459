"""From an upload to what a sandbox runs: the file read, its requirements installed, the scorer made once and asked who it is."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scorers.hosted import folders, requirements
from scorers.hosted.bundle import OURS, Bundle, InvalidBundle, inspect
from scorers.hosted.channel import Manifest
from scorers.hosted.install import SHIM, CannotInstall, Installed, Installer
from scorers.hosted.requirements import InvalidRequirements
from scorers.hosted.sandbox import NoRoom, Room

MANIFEST_S = 60.0


class BuildFailed(Exception):
    """The upload cannot run; the log tells its author why."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        self.log = log


@dataclass(frozen=True)
class Place:
    """The folders of a bundle that can run, for a `Room`."""

    code: Path
    packages: Path | None
    """Read-only; None: the bundle asks for nothing."""


@dataclass(frozen=True)
class Built:
    """A bundle that can run."""

    place: Place
    lock: str
    """Every package with its version and hash, as pip reads it; empty: none."""
    manifest: Manifest
    log: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Builder:
    """Builds bundles, and finds the folders of those that were built."""

    installer: Installer
    env: Mapping[str, str] = field(default_factory=dict)
    """What scorers find in their environment, such as the address of the gateway."""
    within_s: float = 300.0

    async def build(self, bundle: Bundle) -> Built:
        """Returns a bundle that can run, with the log for its author.

        Raises:
            BuildFailed: the log tells why.

        """
        began, log = time.monotonic(), list[str]()
        try:
            async with asyncio.timeout(self.within_s):
                wanted = requirements.read(bundle.requirements, inspect(bundle.code).imports)
                log += wanted.notes
                installed = await self.installer.resolve(wanted.lines) if wanted.lines else None
                log += _told(installed)
                place = self._place(bundle, installed.packages if installed else None)
                manifest = await self._manifest(place)
        except TimeoutError:
            raise BuildFailed(_text(log, f"not done within {self.within_s:g} s: ask for less")) from None
        except (InvalidBundle, InvalidRequirements, CannotInstall, NoRoom, LookupError) as error:
            raise BuildFailed(_text(log, str(error))) from error
        if manifest.error:
            raise BuildFailed(_text(log, manifest.log, "the scorer cannot be made:", manifest.error, _hint(manifest)))
        told = f"{manifest.class_name} is {manifest.scorer!r}, a scorer of {manifest.kind}s"
        log += [manifest.log, told, f"built in {time.monotonic() - began:.1f} s"]
        lock, notes = (installed.lock, installed.notes) if installed else ("", ())
        return Built(place, lock, manifest, _text(log), (*wanted.notes, *notes))

    async def prepare(self, bundle: Bundle, lock: str) -> Place:
        """Returns the folders of a bundle that was built, here or elsewhere: what this disk lacks is installed from its lock.

        Raises:
            BuildFailed: the index does not have these wheels any more, or this machine would need others.

        """
        try:
            async with asyncio.timeout(self.within_s):
                return self._place(bundle, await self.installer.restore(lock) if lock else None)
        except TimeoutError:
            raise BuildFailed(f"the packages were not installed within {self.within_s:g} s") from None
        except (CannotInstall, NoRoom, LookupError) as error:
            raise BuildFailed(str(error)) from error

    def _place(self, bundle: Bundle, packages: Path | None) -> Place:
        code = folders.make(self.installer.folder, "code") / bundle.hash
        if not folders.used(code):
            with folders.scratch(self.installer.folder) as work:
                folders.keep_text(folders.make(work, "code"), "scorer.py", bundle.code)
                folders.publish(work / "code", code)
        return Place(code, packages)

    async def _manifest(self, place: Place) -> Manifest:
        cell = await self.installer.sandbox.start(Room(place.code, place.packages, SHIM, None, self.env))
        try:
            return await cell.manifest(MANIFEST_S)
        finally:
            await cell.kill()


def _told(installed: Installed | None) -> list[str]:
    if installed is None:
        return []
    names = [line.split(" ", 1)[0] for line in installed.lock.splitlines()]
    return [*installed.notes, f"{len(names)} packages: {', '.join(names)}"]


def _hint(manifest: Manifest) -> str:
    missing = re.search(r"No module named '(\w+)", manifest.error)
    return f"add what brings `{missing[1]}` to the requirements" if missing and missing[1] not in OURS else ""


def _text(lines: list[str], *further: str) -> str:
    return "\n".join(line for line in (*lines, *further) if line)
