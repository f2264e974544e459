"""When a supervised process is started again: pure, the time comes in as seconds of any monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
HEALTHY_AFTER = 60.0


class State(StrEnum):
    """What a process is doing: on its way up for the first time, up, down or on its way up again, ended for good."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Life:
    """What has happened to one process so far."""

    state: State = State.STARTING
    pid: int | None = None
    restarts: int = 0
    failures: int = 0  # ends in a row with no healthy minute between them
    ready_at: float | None = None
    due: float = 0.0  # when to start it, while it has no pid
    exit_status: int | None = None  # of its last end; negative = the signal that ended it


def spawned(life: Life, pid: int) -> Life:
    """The process has been started, for the first time or again."""
    again = life.exit_status is not None
    return replace(life, pid=pid, restarts=life.restarts + again, ready_at=None)


def became_ready(life: Life, now: float) -> Life:
    """It answers."""
    return replace(life, state=State.RUNNING, ready_at=now)


def ended(life: Life, exit_status: int, now: float) -> Life:
    """It has ended unasked and is due again after a while.

    The delay doubles with every end, from half a second to thirty, and begins anew after a minute of health.
    """
    healthy = life.ready_at is not None and now - life.ready_at >= HEALTHY_AFTER
    failures = 1 if healthy else life.failures + 1
    return replace(
        life,
        state=State.RESTARTING,
        pid=None,
        failures=failures,
        ready_at=None,
        due=now + delay(failures),
        exit_status=exit_status,
    )


def stopped(life: Life) -> Life:
    """It was told to end and did."""
    return replace(life, state=State.STOPPED, pid=None, ready_at=None)


def delay(failures: int) -> float:
    """Seconds to wait after the n-th end in a row."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))
