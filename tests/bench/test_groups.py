"""A hundred thousand live groups: how long a restart takes, what they weigh, what a tick costs."""

import json
import os
import platform
import time
from collections.abc import Iterator
from typing import cast

import pytest

from schemas.documents.rule import RuleSpec
from schemas.ids import partition_of, record_key
from schemas.rule import Evaluated, RuleEvent
from schemas.rule_state import RuleState
from schemas.topics import Topic
from streams.config_feed import ConfigFeed
from streams.count import Count
from streams.logic.configuration import Configuration
from streams.logic.rules import Position, RuleVersion, step
from streams.records import Received
from tests.bench.figures import rss_bytes
from tests.support.jobs import Installation
from tests.support.records import configured, version_of

GROUPS = 100_000
WRITES = 3
"""The changelog is not compacted within an hour: of each state older ones stand there too."""
NOW = 1_700_000_000_000
SPEC = RuleSpec.model_validate(
    {"when": {"all": [{"scorer": "S", "is": "fails"}]}, "group_by": ["customer"], "times": 3, "resolve_after": "1h"}
)
REASON = "the answer does not say when the parcel comes, though the customer asked for exactly that twice"

pytestmark = pytest.mark.bench


def _states(number: int) -> Iterator[tuple[bytes, RuleState]]:
    """The states of one group in the order of the changelog: every tenth has fired."""
    rule, group = RuleVersion("default", "R", version_of(SPEC), SPEC), (f"customer-{number}",)
    state: RuleState | None = None
    for nth in range(WRITES):
        at = NOW + number + 1000 * nth
        subjects = 1 if number % 10 else 3
        evaluated = tuple(
            Evaluated(subject_kind="example", subject_id=f"{number}-{nth}-{n}", ingested_at=at, reason=REASON)
            for n in range(subjects)
        )
        event = RuleEvent(project="default", rule="R", rule_version=rule.version, group=group, evaluated=evaluated)
        state = step(rule, state, event, Position(0, number, at)).state if nth < 2 or number % 10 == 0 else state
        assert state is not None
        yield record_key("default", "R", group), state


def _tick(count: Count, partition: int, at: int) -> tuple[float, int]:
    """Returns the milliseconds of a tick and how many changes it made."""
    began = time.perf_counter()
    made = len(count.handle([Received(Topic.RULE_EVENTS, partition, 0, at, None, b"", {}, None)]))
    return (time.perf_counter() - began) * 1000, made


class _Feed:
    def __init__(self, configuration: Configuration) -> None:
        self.confirmed = lambda: configuration


def test_a_hundred_thousand_groups(installation: Installation) -> None:
    settings, partitions = installation.settings, range(installation.settings.partitions)
    for number in range(GROUPS):
        for key, state in _states(number):
            installation.put(Topic.RULE_STATE, key, state, partition=partition_of(key, settings.partitions))
    installation.flush()
    count = Count(settings, cast("ConfigFeed", _Feed(configured(("Rule", "R", SPEC)))))
    before, began = rss_bytes(os.getpid()), time.monotonic()
    for partition in partitions:
        count.restore(partition)
    seconds, weight = time.monotonic() - began, rss_bytes(os.getpid()) - before
    assert sum(map(len, count.states.values())) == GROUPS
    last = NOW + GROUPS + 60_000
    first, idle, resolving, forgetting = (
        [_tick(count, partition, at) for partition in partitions]
        for at in (last, last + 5000, NOW + 3_600_000 + GROUPS // 10, NOW + 80 * 3_600_000)
    )
    assert sum(made for _, made in first + idle) == 0
    assert sum(made for _, made in resolving) > 0
    assert sum(map(len, count.states.values())) < GROUPS // 5
    line = {
        "bench": "live groups",
        "goal": "restored within 20 s; an idle tick far below its 5 s",
        "groups": GROUPS,
        "records": GROUPS * WRITES,
        "partitions": len(partitions),
        "restore_s": round(seconds, 1),
        "bytes_per_group": weight // GROUPS,
        "first_tick_ms": round(sum(ms for ms, _ in first)),
        "idle_tick_ms": round(sum(ms for ms, _ in idle), 2),
        "tick_ms_with_changes": [round(sum(ms for ms, _ in resolving)), sum(made for _, made in resolving)],
        "forgetting_tick_ms": round(sum(ms for ms, _ in forgetting)),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
    }
    print("\n" + json.dumps(line), flush=True)
    assert seconds < 20
