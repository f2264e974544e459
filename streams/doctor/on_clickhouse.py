"""ClickHouse: whether it answers, its tables, parts, merges, disks and clock, and what deliveries it holds as failed."""

import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from sinks.clickhouse import migrate
from sinks.sink import Permanent, Transient
from streams.doctor.installation import Installation
from streams.doctor.on_kafka import judged
from streams.doctor.result import Result, finding, ok
from streams.doctor.words import size, span
from streams.store import flavour

ANSWER_S = 2.0
"""The driver asks twice before it says that nobody answers."""
OLDEST = (25, 3)
LEAST_FREE = 0.1
STUCK_S = 3600
"""A merge that takes longer does not come to an end."""
SHOWN = 5

_PARTS = """
SELECT table, max(n) AS most, sum(n) AS parts FROM (
  SELECT table, partition, count() AS n FROM system.parts WHERE active AND database = {ours:String} GROUP BY table, partition
) GROUP BY table ORDER BY most DESC
"""
_DELAYED_AT = "SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = 'parts_to_delay_insert'"
_MERGES = """
SELECT table, elapsed, progress FROM system.merges WHERE database = {ours:String} AND elapsed > {stuck:UInt32} ORDER BY elapsed DESC
"""
_MUTATIONS = """
SELECT table, mutation_id, latest_fail_reason FROM system.mutations
WHERE database = {ours:String} AND NOT is_done AND latest_fail_reason != ''
"""
_DISKS = (
    "SELECT name, path, free_space, total_space FROM system.disks WHERE total_space > 0 AND total_space < pow(2, 63)"
)
_FAILED = """
SELECT project, destination, reason, count() AS n, toString(max(changed_at)) FROM {ours:Identifier}.deliveries FINAL
WHERE state = 'failed' AND changed_at > now() - INTERVAL 1 DAY GROUP BY project, destination, reason ORDER BY n DESC LIMIT {most:UInt32}
"""


def answers(place: Installation) -> Iterator[Result]:
    """Whether the server answers, and whether its version is one that we support."""
    where = urlsplit(place.settings.clickhouse_url.get_secret_value()).netloc.rpartition("@")[2]
    try:
        with place.clickhouse(ANSWER_S) as clickhouse:
            version = str(clickhouse.rows("SELECT version()")[0][0])
    except (Transient, Permanent, ValueError) as error:
        fix = (
            "start ClickHouse, or correct VEDETTE_CLICKHOUSE_URL; meanwhile Kafka keeps what the store has not written"
        )
        yield finding("it cannot be asked", str(error), fix)
        return
    yield ok("server", f"{where}, version {version}")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield finding(
            f"version {version} is not supported", f"the oldest is {oldest}", f"upgrade ClickHouse to {oldest} or newer"
        )


def clock(place: Installation) -> Iterator[Result]:
    """How far the server's clock is from ours."""
    with place.clickhouse() as clickhouse:
        before = time.time() * 1000
        ((there,),) = clickhouse.rows("SELECT toUnixTimestamp64Milli(now64(3))")
        yield judged("ClickHouse", before, float(there), time.time() * 1000)


def migrations(place: Installation) -> Iterator[Result]:
    """Migrations that are missing, and tables that are not what the migrations make."""
    with place.clickhouse() as clickhouse:
        found = migrate.check(clickhouse, flavour=flavour(place.settings))
    for sentence in found:
        what, _, fix = sentence.partition(": ")
        yield finding(
            what,
            "",
            fix or "run `vedette migrate --check`; undo what was changed by hand, or run the release that made it",
        )
    if not found:
        yield ok("tables", "as the migrations make them")


def parts(place: Installation) -> Iterator[Result]:
    """Tables with so many parts that inserts are about to be delayed."""
    with place.clickhouse() as clickhouse:
        found = clickhouse.rows(_PARTS)
        limit = int((clickhouse.rows(_DELAYED_AT) or [[1000]])[0][0])
    bad = [(table, most, count) for table, most, count in found if most > limit // 2]
    for table, most, _ in bad:
        yield finding(
            f"table {table} has many parts", f"{most} active in one partition; at {limit} inserts are delayed",
            "see `merges` here and the server's disk and CPU; fewer, larger inserts: fewer `vedette store` processes",
        )  # fmt: skip
    if not bad:
        yield ok("active parts", f"{sum(int(count) for _, _, count in found)} in {len(found)} tables")


def merges(place: Installation) -> Iterator[Result]:
    """Merges that do not come to an end, and mutations that fail."""
    with place.clickhouse() as clickhouse:
        slow = clickhouse.rows(_MERGES, {"stuck": STUCK_S})
        failed = clickhouse.rows(_MUTATIONS)
    for table, elapsed, progress in slow:
        fix = "see the server's disk and `system.merges`; restart it if the progress stands still"
        yield finding(f"a merge of {table} takes long", f"{span(elapsed)}, {progress:.0%} done", fix)
    for table, name, reason in failed:
        yield finding(
            f"mutation {name} of {table} fails",
            str(reason)[:300],
            f"KILL MUTATION WHERE mutation_id = '{name}', then mend and try again",
        )
    if not slow and not failed:
        yield ok("merges", "none is stuck")


def disks(place: Installation) -> Iterator[Result]:
    """What is free on the server's disks."""
    with place.clickhouse() as clickhouse:
        found = clickhouse.rows(_DISKS)
    for name, path, free, total in found:
        value = f"{size(free)} of {size(total)} are free"
        if free < LEAST_FREE * total:
            yield finding(
                f"disk {name} ({path})",
                value,
                "make it larger, or keep less: VEDETTE_RETENTION, then `vedette migrate`",
            )
        else:
            yield ok(f"disk {name}", value)


def failed_deliveries(place: Installation) -> Iterator[Result]:
    """What people were not told in the last day, and why."""
    with place.clickhouse() as clickhouse:
        found = clickhouse.rows(_FAILED, {"most": SHOWN})
    for project, destination, reason, count, last in found:
        fix = f"mend what the reason names; see the alerts: `vedette alerts ls --state all -p {project}`"
        yield finding(
            f"{count} deliveries to {destination} of project {project} failed", f"{reason} (last {last})", fix
        )
    if not found:
        yield ok("deliveries", "none failed in the last day")
