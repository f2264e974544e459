"""A provider is asked at most so often a minute, and for at most so many dollars a day."""

from hypothesis import given
from hypothesis import strategies as st

from scorers.providers.allowance import DAY_S, Allowance, Limits


def test_the_minute_is_any_sixty_seconds() -> None:
    allowance, limits = Allowance(), Limits(requests_per_minute=2)
    assert allowance.ask(0, 0, limits) is None
    assert allowance.ask(50, 0, limits) is None
    refused = allowance.ask(55, 0, limits)
    assert refused
    assert (refused.retry_after_s, refused.is_budget) == (5, False)
    assert allowance.ask(60, 0, limits) is None


def test_what_was_reserved_and_not_used_may_be_spent_again() -> None:
    allowance, limits = Allowance(), Limits(budget_usd_per_day=1.0)
    assert allowance.ask(0, 0.75, limits) is None
    refused = allowance.ask(1, 0.5, limits)
    assert refused
    assert "$0.7500 of $1 a day" in refused.reason
    assert (refused.retry_after_s, refused.is_budget) == (DAY_S - 1, True)
    allowance.settle(2, 0.75, 0.25)
    assert allowance.ask(3, 0.5, limits) is None


def test_a_new_day_has_a_new_budget() -> None:
    allowance, limits = Allowance(), Limits(budget_usd_per_day=1.0)
    assert allowance.ask(DAY_S - 1, 1, limits) is None
    allowance.settle(DAY_S - 1, 1, 1)
    assert allowance.ask(DAY_S - 0.5, 0.01, limits)
    assert allowance.ask(DAY_S, 1, limits) is None


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1), st.floats(0, 1)), max_size=60))
def test_neither_limit_is_ever_passed(asked: list[tuple[float, float, float]]) -> None:
    """Each request waits a while, reserves something and uses a share of it."""
    allowance, limits, now = Allowance(), Limits(requests_per_minute=5, budget_usd_per_day=3.0), 0.0
    made, spent = [], 0.0
    for wait_s, reserved, share in asked:
        now += wait_s
        if allowance.ask(now, reserved, limits) is None:
            allowance.settle(now, reserved, reserved * share)
            made.append(now)
            spent += reserved * share
    assert spent <= 3.0 + 1e-9
    assert all(later - earlier >= 60 - 1e-9 for earlier, later in zip(made, made[5:], strict=False))
