"""When a rule may page: weekdays and hours on the clock of a place."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

from schemas.documents.base import Strict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))")


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write for example Europe/Berlin or UTC") from None
    return name


def _hours(text: str) -> str:
    if not _HOURS.fullmatch(text):
        raise ValueError(f"{text!r} are no hours; write for example 09:00-17:30, or 22:00-06:00 over midnight")
    return text


def _some(days: tuple[Weekday, ...]) -> tuple[Weekday, ...]:
    if not days:
        raise ValueError("name at least one weekday, or leave `weekdays` out for all of them")
    return days


class Schedule(Strict):
    """Open on some weekdays between two times; hours over midnight belong to the day on which they begin."""

    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    weekdays: Annotated[tuple[Weekday, ...], AfterValidator(_some)] = WEEKDAYS
    hours: Annotated[str, AfterValidator(_hours)] = "00:00-24:00"

    def opens_at(self, at_ms: int) -> int:
        """Returns the time itself when the schedule is open then, else when it opens next; all in milliseconds.

        >>> Schedule(weekdays=("mon",), hours="09:00-17:00").opens_at(0)  # 1970 began on a Thursday
        378000000
        """
        today = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(self.timezone))
        windows = [self._window(today, days) for days in range(-1, 9)]
        if any(window and window[0] <= at_ms < window[1] for window in windows):
            return at_ms
        return min(window[0] for window in windows if window and window[0] > at_ms)

    def _window(self, today: datetime, days: int) -> tuple[int, int] | None:
        """The window that begins so many days after a day: its begin and its end."""
        day = (today + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if WEEKDAYS[day.weekday()] not in self.weekdays:
            return None
        begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in self.hours.split("-"))
        return _ms(day, begin), _ms(day, end if end > begin else end + 24 * 60)

    def __str__(self) -> str:
        """In words, as they stand in the ledger."""
        days = "" if self.weekdays == WEEKDAYS else f"{','.join(self.weekdays)} "
        return f"{days}{self.hours} {self.timezone}"


def _ms(day: datetime, minutes: int) -> int:
    """Wall-clock minutes after a midnight: on a day that changes the clocks they are not the minutes that pass."""
    at = day + timedelta(minutes=minutes)
    return round(at.timestamp() * 1000)
