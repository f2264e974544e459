"""Two counters under sixty kills, joins and leaves make exactly the alerts of the offline fold."""

import pytest

from tests.faults.counter_soak import soak

pytestmark = [pytest.mark.faults, pytest.mark.integration]

DISRUPTIONS = 60
WRONG = ("missing", "extra", "different", "dead_letters")


def test_counters_that_are_killed_again_and_again_make_the_alerts_of_the_offline_fold(kafka: str) -> None:
    figures = soak(kafka, DISRUPTIONS, seed=11)
    assert {name: figures[name] for name in WRONG} == dict.fromkeys(WRONG, 0), figures
    assert figures["changes"] > 100
