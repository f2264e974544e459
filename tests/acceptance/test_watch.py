"""The watcher beside a whole stack: canaries pass, and a job that stands still is named and paged by a process that needs none of them."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.local.standins import SlackStandIn
from tests.support.system import Further, System, running, until

pytestmark = pytest.mark.integration

PAGED_WITHIN_S = 60
WAY = ("normalise", "sample", "score", "match", "complete", "count", "deliver", "store", "api")


@contextmanager
def watching(system: System, slack: SlackStandIn, **settings: str) -> Iterator[Further]:
    """The watcher, with somebody to page."""
    page = {"type": "slack", "token": {"env": "SLACK_BOT_TOKEN"}, "channel": "#oncall", "base_url": slack.url}
    told = {"VEDETTE_WATCH_PAGE": json.dumps([page]), "VEDETTE_PRIVATE_NETWORKS": '["127.0.0.0/8"]', **settings}
    facts = system.facts
    system.environment |= told | {
        "VEDETTE_WATCH_URL": system.bridge,
        "VEDETTE_API_URL": facts["endpoints"]["api"],
        "VEDETTE_ADMIN_KEY": Path(facts["admin_key_file"]).read_text().strip(),
        "VEDETTE_CLICKHOUSE_URL": _clickhouse(system),
    }
    with system.further("watch") as watch:
        yield watch


def _clickhouse(system: System) -> str:
    where = system.facts["clickhouse"]
    secret = Path(where["password_file"]).read_text().strip()
    return str(where["url"]).replace("://", f"://{where['user']}:{secret}@")


def headlines(slack: SlackStandIn) -> list[str]:
    return [str(call.arguments.get("text", "")) for call in slack.calls if call.method == "chat.postMessage"]


def through(watch: Further) -> float:
    return watch.metric('vedette_watch_rounds_total{result="through"}')


@contextmanager
def standing_still(system: System, job: str) -> Iterator[None]:
    pid = system.pids()[job]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_stage_that_stands_still_is_named_and_its_recovery_is_told(tmp_path: Path) -> None:
    quick = {"VEDETTE_WATCH_INTERVAL_S": "1", "VEDETTE_WATCH_PATIENCE_S": "8"}
    with SlackStandIn() as slack, running(tmp_path / "data") as system, watching(system, slack, **quick) as watch:
        until(lambda: through(watch) > 0)
        paged = len(headlines(slack))
        with standing_still(system, "score"):
            until(lambda: any("Wedged: Vedette: score is wedged" in text for text in headlines(slack)))
        until(lambda: any("Recovered" in text for text in headlines(slack)[paged:]))
    assert not any("wedged" in text and "score" not in text for text in headlines(slack)[paged:])


@pytest.mark.faults
def test_whatever_job_stands_still_it_is_paged_within_a_minute_by_its_name(tmp_path: Path) -> None:
    with SlackStandIn() as slack, running(tmp_path / "data") as system, watching(system, slack) as watch:
        until(lambda: through(watch) > 0)
        for job in WAY:
            before = len(headlines(slack))
            began = time.monotonic()
            with standing_still(system, job):
                until(lambda: len(headlines(slack)) > before, PAGED_WITHIN_S, 0.1)  # noqa: B023
                print(job, f"{time.monotonic() - began:.0f} s")
                assert f"Vedette: {job} is wedged" in headlines(slack)[before]
            rounds = through(watch)
            until(lambda: through(watch) > rounds + 1, 120)  # noqa: B023
