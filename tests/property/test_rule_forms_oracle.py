"""Every form of a rule, with commands and silence, against a brute-force reference; and what a crash may repeat."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.logic import rate
from tests.support import checks
from tests.support.rule_logs import Writer

MANY = settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**48)


@MANY
@given(SEEDS, st.sampled_from([2, 3, 1000]))
def test_the_fold_tells_what_the_reference_tells(seed: int, sample: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "SAMPLE", sample)
        checks.agrees(Writer(Random(seed)).write(), sample)


@MANY
@given(SEEDS, st.sampled_from([2, 1000]))
def test_what_a_crash_repeats_changes_nothing_and_tells_the_same(seed: int, sample: int) -> None:
    choose = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "SAMPLE", sample)
        checks.survives_a_crash(Writer(choose).write(), choose)


@settings(MANY, max_examples=200)
@given(SEEDS, st.sampled_from([2, 1000]))
def test_a_record_does_what_its_subjects_do_one_by_one(seed: int, sample: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "SAMPLE", sample)
        checks.one_by_one(Writer(Random(seed)).write())
