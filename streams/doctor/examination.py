"""Runs the checks side by side, each in a thread with an end: the whole is over in time even when everything is away."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import structlog

from streams.cli.client import Client
from streams.cli.context import sentence
from streams.doctor import backlog, disk, groups, judging, on_clickhouse, on_kafka, records, the_api
from streams.doctor.installation import Installation
from streams.doctor.result import Check, Result, unknown
from streams.settings import Settings

REACH_S = 5.5
"""So long do we wait for servers to answer at all."""
LOOK_S = 7.5
"""So long do we wait for everything that those who answered are asked."""


def examine(settings: Settings, api: Client | None, data_dir: Path) -> list[Result]:
    """Returns what every check says, in the order of `checks`, within 13 s. What clients log meanwhile is dropped: the results tell it."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return run(checks(Installation(settings, api, data_dir)), REACH_S, LOOK_S)


def checks(place: Installation) -> list[Check]:
    """Returns every check of an installation."""
    return [Check(name, partial(look, place), needs) for name, look, needs in _LOOKS]


_KAFKA, _TABLES = ("kafka",), ("clickhouse",)
_LOOKS: tuple[tuple[str, Callable[[Installation], Iterable[Result]], tuple[str, ...]], ...] = (
    ("kafka", on_kafka.answers, ()),
    ("topics", on_kafka.topics_as_they_must_be, _KAFKA),
    ("topic sizes", on_kafka.sizes, _KAFKA),
    ("records", records.readable_and_well_placed, _KAFKA),
    ("broker clock", on_kafka.clock, _KAFKA),
    ("processes", the_api.processes, ()),
    ("members", groups.members, _KAFKA),
    ("lag", groups.lag, _KAFKA),
    ("dead letters", backlog.dead_letters, _KAFKA),
    ("score-later", backlog.waiting, _KAFKA),
    ("clickhouse", on_clickhouse.answers, ()),
    ("clickhouse clock", on_clickhouse.clock, _TABLES),
    ("migrations", on_clickhouse.migrations, _TABLES),
    ("parts", on_clickhouse.parts, _TABLES),
    ("merges", on_clickhouse.merges, _TABLES),
    ("clickhouse disk", on_clickhouse.disks, _TABLES),
    ("api", the_api.answers, ()),
    ("destinations", the_api.destinations, ("api",)),
    ("deliveries", on_clickhouse.failed_deliveries, _TABLES),
    ("scorers", judging.scorers, (*_KAFKA, *_TABLES)),
    ("rules", judging.rules, (*_KAFKA, *_TABLES)),
    ("skipped", judging.skipped, _TABLES),
    ("disk", disk.data_dir, ()),
)
NAMES = tuple(name for name, _, _ in _LOOKS)


def run(checks: Sequence[Check], reach_s: float, look_s: float) -> list[Result]:
    """Returns the results of checks: first of those that need no other, then of those whose needs are met."""
    found = _together([check for check in checks if not check.needs], reach_s)
    able = [check for check in checks if check.needs and all(_is_met(found.get(need, [])) for need in check.needs)]
    found |= _together(able, look_s)
    for check in checks:
        found.setdefault(check.name, [unknown("not asked", f"needs {' and '.join(check.needs)}")])
    return [result.of(check.name) for check in checks for result in found[check.name]]


def _is_met(results: Sequence[Result]) -> bool:
    """The first result of a check that others need tells whether what they need answers."""
    return bool(results) and results[0].state == "ok"


def _together(checks: Iterable[Check], within_s: float) -> dict[str, list[Result]]:
    """Daemon threads: one that hangs in a client ends with the process."""
    answers: queue.Queue[tuple[str, list[Result]]] = queue.Queue()
    waiting = {check.name: check for check in checks}
    for check in waiting.values():
        threading.Thread(target=lambda one=check: answers.put((one.name, _looked(one))), daemon=True).start()
    found: dict[str, list[Result]] = {}
    deadline = time.monotonic() + within_s
    while len(found) < len(waiting):
        try:
            name, results = answers.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            break
        found[name] = results
    late = {name: [unknown("no answer", f"within {within_s:g} s")] for name in waiting if name not in found}
    return found | late


def _looked(check: Check) -> list[Result]:
    """Whatever a check runs into, it must not take the others with it."""
    try:
        return list(check.look())
    except Exception as error:
        return [unknown("could not be told", f"{type(error).__name__}: {sentence(error)}")]
