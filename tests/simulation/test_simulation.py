"""Thousands of small installations, each under one seed: nothing is lost or invented, and the checker would notice if it were."""

import pytest

from tests.simulation.checks import counts
from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import SPANS, simulated

RARE = {"random_alert_id": 0.04, "offset_before_state": 0.02}
"""Mutants that show only when a process dies at one moment, with the share of steps that are kills."""
FEW = range(12)
MANY = range(1000)


def assert_all_hold(seeds: range) -> None:
    happened = dict.fromkeys(counts(simulated(seeds[0], spans=1)[0]), 0)
    broken = {}
    for seed in seeds:
        world, found = simulated(seed)
        if found:
            broken[seed] = found
        happened = {name: number + happened[name] for name, number in counts(world).items()}
    assert broken == {}
    assert happened["spans"] > 0.95 * SPANS * len(seeds)  # a client that dies forgets what it has sent
    assert min(happened.values()) > 0, happened


def test_in_no_world_is_anything_lost_or_invented() -> None:
    assert_all_hold(FEW)


@pytest.mark.faults
def test_in_none_of_a_thousand_worlds_is_anything_lost_or_invented() -> None:
    assert_all_hold(MANY)


@pytest.mark.parametrize("mutant", [name for name in MUTANTS if name not in RARE])
def test_a_protection_that_is_taken_out_is_noticed(mutant: str) -> None:
    assert any(simulated(seed, [mutant])[1] for seed in range(20))


@pytest.mark.faults
@pytest.mark.parametrize("mutant", RARE)
def test_a_protection_against_a_death_at_one_moment_is_noticed(mutant: str) -> None:
    assert any(simulated(seed, [mutant], kill_share=RARE[mutant])[1] for seed in range(60))
