import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorers.hosted.sandbox import Sandbox
from tests.support.rooms import TIERS, Rooms, must_hold


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    made = Rooms(Path(tempfile.mkdtemp(prefix="vedette-rooms-", dir="/var/tmp")))
    yield made
    made.remove()


@pytest.fixture(params=TIERS, ids=lambda tier: tier.name)
def tier(request: pytest.FixtureRequest) -> Sandbox:
    must_hold(request.param)
    return request.param
