"""Sampling: which subjects are judged, fixed for good."""

import itertools
from hashlib import blake2b

import pytest

from streams.logic.sampling import keep

TRACES = [f"{number:032x}" for number in range(20_000)]


def test_the_first_53_bits_of_the_hash_decide() -> None:
    digest = blake2b(b"\0\0\0\0\0\0\0\x04acme" + b"\0\0\0\0\0\0\0\x05trace", digest_size=8).digest()
    share = (int.from_bytes(digest, "big") >> 11) / 2**53
    assert not keep("acme", "trace", share)
    assert keep("acme", "trace", share + 2**-53)


def test_all_or_none_are_kept_at_the_ends() -> None:
    assert all(keep("acme", trace, 1.0) for trace in TRACES)
    assert not any(keep("acme", trace, 0.0) for trace in TRACES)


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_the_sample_is_as_large_as_its_rate_says(rate: float) -> None:
    kept = sum(keep("acme", trace, rate) for trace in TRACES)
    five_sigma = 5 * (len(TRACES) * rate * (1 - rate)) ** 0.5
    assert abs(kept - len(TRACES) * rate) < five_sigma


def test_the_sample_is_uniform_over_the_whole_range() -> None:
    rates = [step / 20 for step in range(21)]
    counts = [sum(keep("acme", trace, rate) for trace in TRACES) for rate in rates]
    cells = [after - before for before, after in itertools.pairwise(counts)]
    expected = len(TRACES) / len(cells)
    chi_squared = sum((cell - expected) ** 2 / expected for cell in cells)
    assert chi_squared < 43.8  # 19 degrees of freedom: a fair hash exceeds it once in a thousand


def test_projects_are_sampled_independently() -> None:
    in_both = sum(keep("acme", trace, 0.5) and keep("globex", trace, 0.5) for trace in TRACES)
    assert abs(in_both - len(TRACES) / 4) < 5 * (len(TRACES) * 3 / 16) ** 0.5


def test_a_projects_name_and_an_id_never_run_into_each_other() -> None:
    fates = [(keep("ab", f"c{trace}", 0.5), keep("abc", trace, 0.5)) for trace in TRACES[:200]]
    assert any(one != other for one, other in fates)
