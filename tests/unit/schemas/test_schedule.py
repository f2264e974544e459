"""When a rule may page, on the clocks of a place."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.documents.schedule import WEEKDAYS, Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def ms(*at: int, zone: ZoneInfo = BERLIN) -> int:
    return round(datetime(*at, tzinfo=zone).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = Schedule(timezone="Europe/Berlin", weekdays=("fri",), hours="22:00-06:00")
    assert night.opens_at(ms(2026, 1, 3, 5, 59)) == ms(2026, 1, 3, 5, 59)  # a Saturday
    assert night.opens_at(ms(2026, 1, 3, 6, 0)) == ms(2026, 1, 9, 22, 0)
    assert night.opens_at(ms(2026, 1, 2, 21, 59)) == ms(2026, 1, 2, 22, 0)


def test_when_the_clocks_change_nine_is_nine() -> None:
    daily = Schedule(timezone="Europe/Berlin", hours="09:00-17:00")
    assert daily.opens_at(ms(2026, 3, 28, 18)) == round(datetime(2026, 3, 29, 7, tzinfo=UTC).timestamp() * 1000)
    assert daily.opens_at(ms(2026, 10, 24, 18)) == round(datetime(2026, 10, 25, 8, tzinfo=UTC).timestamp() * 1000)


@given(
    st.integers(0, 2 * 365 * 24 * 60).map(
        lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.sets(st.sampled_from(WEEKDAYS), min_size=1),
    st.integers(0, 23),
    st.integers(0, 23),
)
def test_a_schedule_opens_at_the_first_moment_at_which_it_is_open(
    at: datetime, days: set[str], begin: int, end: int
) -> None:
    schedule = Schedule.model_validate({"weekdays": sorted(days), "hours": f"{begin:02}:00-{end:02}:00"})
    now = ms(at.year, at.month, at.day, at.hour, at.minute, zone=ZoneInfo("UTC"))
    opens = schedule.opens_at(now)
    assert now <= opens <= now + 8 * 24 * 3_600_000
    assert schedule.opens_at(opens) == opens
    if opens > now:
        local = datetime.fromtimestamp(opens / 1000, UTC)
        assert (WEEKDAYS[local.weekday()] in days, local.hour, local.minute) == (True, begin, 0)
        assert schedule.opens_at(opens - 60_000) == opens or opens - 60_000 < now


@pytest.mark.parametrize("wrong", [{"timezone": "Berlin/Europe"}, {"timezone": "../etc/passwd"}, {"hours": "9-17"}, {"hours": "25:00-26:00"}, {"weekdays": []}, {"weekdays": ["monday"]}])  # fmt: skip
def test_what_is_no_schedule_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Schedule.model_validate(wrong)
