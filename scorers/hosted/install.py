"""Requirements become a folder of packages: pip chooses and unpacks inside a sandbox, the host fetches, checks and locks.

Downloading is the only step with a door. What it chose becomes the lock; from the lock, wheels of these hashes and nothing else are
unpacked in a second sandbox without any network. Only wheels are taken, so nothing of a package runs until a scorer imports it.
"""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

from schemas.ids import hashed
from scorers.hosted import folders
from scorers.hosted.index import MIB, Budget, Door, Index, door
from scorers.hosted.prune import prune
from scorers.hosted.sandbox import Limits, Program, Room, Sandbox

SHIM = Path(__file__).parent / "shim"
"""The packages `vedette` and `judgeval` as a scorer's file imports them inside the sandbox."""

LIMITS = Limits(memory_mib=1024, open_files=512, file_mib=500)
LOOKS_EVERY_S = 0.25
"""How often it is looked at how much pip has written."""

PIP = (
    *("{python}", "-I", "-S", "-B", "{inside}/door.py", "{door}", "{packages}:{inside}", "pip_in", "{writable}"),
    *("--quiet", "--isolated", "--no-input", "--no-color", "--no-cache-dir", "--disable-pip-version-check"),
    *(
        "--retries",
        "0",
        "--timeout",
        "300",
    ),  # the door answers when it has fetched a wheel whole; it tells itself why it does not
)
INDEX_INSIDE = "http://127.0.0.1:3128/simple/"


class CannotInstall(Exception):
    """The packages cannot be had; the text is for who asked for them."""


@dataclass(frozen=True)
class Installed:
    """A folder of packages and what it was made from."""

    packages: Path
    lock: str
    """Each package with its version and hash, as pip reads it."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installer:
    """Installs from one index, in sandboxes of one tier, into folders below one that are keyed by their lock."""

    sandbox: Sandbox
    index: Index
    folder: Path
    budget: Budget = field(default_factory=Budget)
    most_bytes: int = 10_240 * MIB
    """Of packages and code that are kept; above it, those used longest ago go."""

    async def resolve(self, lines: tuple[str, ...]) -> Installed:
        """Installs what requirements ask for, with all that it depends on.

        Raises:
            CannotInstall: pip finds no solution, or a limit is exceeded.

        """
        return await self._installed("\n".join(lines), "--only-binary=:all:")

    async def restore(self, lock: str) -> Path:
        """Returns the folder of a lock, installed again if this disk lacks it.

        Raises:
            CannotInstall: the index has these wheels no more.

        """
        kept = self._kept(lock)
        if folders.used(kept):
            return kept
        return (await self._installed(lock, "--only-binary=:all:", "--require-hashes", "--no-deps")).packages

    def _kept(self, lock: str) -> Path:
        return folders.make(self.folder, "packages") / hashed(lock)

    async def prune(self) -> None:
        """Removes what is too much on this disk."""
        await asyncio.to_thread(prune, self.folder, self.most_bytes)

    async def _installed(self, lines: str, *arguments: str) -> Installed:
        installed = await self._made(lines, *arguments)
        await self.prune()
        return installed

    async def _made(self, lines: str, *arguments: str) -> Installed:
        with folders.scratch(self.folder) as work:
            wheels = folders.make(work, "wheels")
            async with door(self.index, wheels, replace(self.budget)) as opened:
                chosen = await self._download(work, lines, arguments, opened)
            lock = _lock(chosen, opened)
            kept = self._kept(lock)
            if not folders.used(kept):
                folders.keep_text(wheels, "lock.txt", lock)
                folders.publish(await self._unpack(work, wheels), kept)
            return Installed(kept, lock, tuple(opened.notes))

    async def _download(self, work: Path, lines: str, arguments: tuple[str, ...], opened: Door) -> list[str]:
        """Returns the names of the wheels that pip chose."""
        asked, fetched = folders.make(work, "asked"), folders.make(work, "fetched")
        folders.keep_text(asked, "requirements.txt", lines)
        command = ("download", *arguments, "--index-url", INDEX_INSIDE, "--requirement", "{code}/requirements.txt")
        try:
            await self._pip((*command, "--dest", "{writable}/wheels"), asked, fetched, opened.socket)
        except CannotInstall as error:
            raise CannotInstall("\n".join([*opened.notes, str(error)])) from None
        return sorted(path.name for path in (fetched / "wheels").glob("*"))

    async def _unpack(self, work: Path, wheels: Path) -> Path:
        made = folders.make(work, "made")
        command = ("install", "--require-hashes", "--no-deps", "--only-binary=:all:", "--no-index")
        source = ("--find-links", "{code}", "--requirement", "{code}/lock.txt")
        await self._pip((*command, *source, "--target", "{writable}/packages"), wheels, made, None)
        try:
            folders.seal(made / "packages")
        except folders.Tampered as error:
            raise CannotInstall(str(error)) from None
        return made / "packages"

    async def _pip(self, arguments: tuple[str, ...], code: Path, writable: Path, through: Path | None) -> None:
        room = Room(code, folders.pip(self.folder), SHIM, through, {}, LIMITS)
        cell = await self.sandbox.start(room, Program((*PIP, *arguments), writable))
        watch = asyncio.ensure_future(self._watch(writable))
        running = asyncio.ensure_future(cell.run(float("inf")))
        try:
            await asyncio.wait((watch, running), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            code_of_exit, told = await running
        finally:
            watch.cancel()
            running.cancel()
            await cell.kill()
        if code_of_exit:
            raise CannotInstall(told.strip() or f"pip ended with {code_of_exit}")

    async def _watch(self, writable: Path) -> None:
        """Raises when more is written than wheels and their content may take together."""
        while True:
            size, files = await asyncio.to_thread(folders.usage, writable)
            if size > 2 * self.budget.bytes or files > 2 * self.budget.files:
                raise CannotInstall(f"pip wrote more than {self.budget.bytes // MIB} MiB or {self.budget.files} files")
            await asyncio.sleep(LOOKS_EVERY_S)


def _lock(chosen: list[str], opened: Door) -> str:
    if unknown := [name for name in chosen if name not in opened.handed]:
        raise CannotInstall(f"pip left files that it was not handed: {', '.join(unknown)[:300]}")
    wheels = sorted((opened.handed[name] for name in chosen), key=lambda wheel: wheel.project)
    return "".join(f"{one.project}=={one.version} --hash=sha256:{one.sha256}\n" for one in wheels)
