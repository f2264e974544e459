"""The clocks of the jobs and of the clients step and are wrong; windows and cooldowns go by the broker's."""

import secrets
import time
from pathlib import Path

import pytest

from streams.local.standins import SlackStandIn
from tests.faults.test_places import FlappingSlack
from tests.support.clock import Clock
from tests.support.invariants import Places, assert_all_hold
from tests.support.ledger import AGENT, PROJECT, WORDS, Load
from tests.support.otlp import Reply, export_of
from tests.support.system import System, running

pytestmark = [pytest.mark.faults, pytest.mark.integration]

HOUR = 3600
STEPS = (HOUR, -HOUR, 0, 24 * HOUR, 0, -24 * HOUR, 0)
PAUSE_S = 8
TOLD_WITHIN_S = 300
WRONG_S = (-24 * HOUR, 24 * HOUR, -40 * 365 * 24 * HOUR, 60 * 365 * 24 * HOUR)


def _from_wrong_clocks(system: System, load: Load) -> None:
    """Spans of clients whose clocks are off by a day, at the beginning of time, and far in the future."""
    now = time.time_ns()
    replies = [
        Reply(secrets.token_hex(16), secrets.token_hex(8), WORDS[0], AGENT, now + seconds * 1_000_000_000)
        for seconds in WRONG_S
    ]
    status, _ = system.post("/v1/traces", export_of(replies), system.key(), PROJECT)
    assert status == 200
    load.ledger.texts |= {reply.subject_id: reply.text for reply in replies}
    load.ledger.accepted |= {reply.subject_id for reply in replies}


def test_clocks_that_step_lose_nothing_and_move_no_rule(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    places = Places(SlackStandIn(respond=FlappingSlack()))
    with places, running(tmp_path / "data", PYTHONPATH=clock.path) as system:
        system.apply(places.documents)
        with Load(system) as load:
            _from_wrong_clocks(system, load)
            for seconds in STEPS:
                clock.step_to(seconds)
                time.sleep(PAUSE_S)
        assert_all_hold(system, load.ledger, places, told_within_s=TOLD_WITHIN_S)
