"""Rooms for sandboxes: bundles written in a test, and the tiers that this machine must offer."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from scorers.hosted.sandbox import Limits, Room, Sandbox
from scorers.hosted.tiers.bubblewrap import Bubblewrap
from scorers.hosted.tiers.landlock import Landlock
from scorers.hosted.tiers.namespaces import Namespaces

TIERS: tuple[Sandbox, ...] = (Bubblewrap(), Namespaces(), Landlock())


def must_hold(tier: Sandbox) -> None:
    """Skips, and says so, where a tier cannot be tried; in CI, which installs what it needs, that is a failure."""
    probe = tier.probe()
    if probe.holds:
        return
    text = f"the tier {tier.name} is not tried on this machine: {probe.why}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class Rooms:
    """Makes rooms in a folder that every uid can reach; a test's own is closed to others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self._made = 0
        self.shim = self._folder()

    def room(
        self, code: str, *, limits: Limits | None = None, door: Path | None = None, packages: Path | None = None
    ) -> Room:
        """A room with a bundle."""
        folder = self._folder()
        (folder / "scorer.py").write_text(dedent(code), encoding="utf-8")
        (folder / "scorer.py").chmod(0o644)
        return Room(folder, packages, self.shim, door, {}, limits or Limits(memory_mib=160))

    def scorer(self, body: str, **room: object) -> Room:
        """A room with a scorer whose method has this body."""
        lines = "\n".join(f"        {line}" for line in dedent(body).strip().splitlines())
        return self.room(
            f"import os, sys, threading, time\nclass Mine:\n    async def a_score_example(self, example):\n{lines}\n",
            **room,  # type: ignore[arg-type]
        )

    def _folder(self) -> Path:
        self._made += 1
        folder = self.folder / str(self._made)
        folder.mkdir(mode=0o755)
        return folder

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    """Rooms that are gone after the test."""
    made = Rooms(Path(tempfile.mkdtemp(prefix="vedette-rooms-", dir="/var/tmp")))
    yield made
    made.remove()


@pytest.fixture(params=TIERS, ids=lambda tier: tier.name)
def tier(request: pytest.FixtureRequest) -> Sandbox:
    """Each tier that this machine offers."""
    tried: Sandbox = request.param
    must_hold(tried)
    return tried
