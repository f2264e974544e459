"""Two workers of each job, one of which comes and goes under load."""

from pathlib import Path

import pytest

from tests.support.invariants import Places, assert_all_hold
from tests.support.ledger import Load
from tests.support.mates import WORKERS, Mates
from tests.support.system import running

pytestmark = [pytest.mark.faults, pytest.mark.integration]

ROUNDS = 6
PAUSE_S = 4


def test_workers_that_join_and_leave_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    with Places() as places, running(tmp_path / "data") as system:
        system.apply(places.documents)
        with Load(system) as load, Mates(system) as mates:
            mates.come_and_go(ROUNDS * len(WORKERS), PAUSE_S)
            assert mates.killed + mates.left >= len(WORKERS)
        assert_all_hold(system, load.ledger, places)
