"""The disk under ClickHouse is full for a while. It is a small file system in memory, which takes the right to mount one."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.invariants import Places, assert_all_hold
from tests.support.ledger import Load
from tests.support.outages import CALM_S, Servers, with_flat_memory
from tests.support.system import running

pytestmark = [pytest.mark.faults, pytest.mark.integration]

SIZE_MIB = 512
SECONDS = 45


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own at the place of ClickHouse's data."""
    place = tmp_path / "clickhouse"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _full_for(disk: Path, seconds: float) -> None:
    """Takes every byte that is free, also those that merges of parts give back meanwhile."""
    end = time.monotonic() + seconds
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        while time.monotonic() < end:
            for size in (1024 * 1024, 4096):
                with suppress(OSError):
                    while ballast.write(bytes(size)):
                        pass
            time.sleep(0.1)
    (disk / "ballast").unlink()


def test_a_full_disk_of_clickhouse_loses_nothing_and_stops_nobody(tmp_path: Path, disk: Path) -> None:
    with Servers(tmp_path) as servers, Places() as places, running(tmp_path / "data", *servers.options) as system:
        system.apply(places.documents)
        with Load(system) as load:
            time.sleep(CALM_S)
            with_flat_memory(system, lambda: _full_for(disk, SECONDS))
            assert "will try again" in system.log("store")
        assert_all_hold(system, load.ledger, places)
