"""Two counters under two kills, joins and leaves; `make faults` does sixty."""

import pytest

from tests.faults.counter_soak import soak

pytestmark = pytest.mark.integration

WRONG = ("missing", "extra", "different", "dead_letters")


def test_counters_that_are_killed_make_the_alerts_of_the_offline_fold(kafka: str) -> None:
    figures = soak(kafka, disruptions=2, seed=5)
    assert {name: figures[name] for name in WRONG} == dict.fromkeys(WRONG, 0), figures
    assert figures["changes"] > 10
