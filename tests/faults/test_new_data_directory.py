"""A new Kafka and a new data directory on an old ClickHouse: offsets begin again at 0, the rows of before stay."""

from pathlib import Path

import pytest

from streams.config_feed import ConfigFeed
from streams.local import clickhouse
from tests.faults.counter_soak import offline
from tests.support.invariants import Change, Places, changes, deliveries, scores, stored
from tests.support.ledger import Ledger, Load
from tests.support.system import System, running, until

pytestmark = [pytest.mark.faults, pytest.mark.integration]

SPANS = 300


def _some_load(system: System, places: Places) -> Ledger:
    system.apply(places.documents)
    with Load(system) as load:
        until(lambda: len(load.ledger.accepted) > SPANS)
    until(system.is_drained)
    until(lambda: "pending" not in deliveries(system).values())
    return load.ledger


def _folded(system: System) -> set[Change]:
    feed = ConfigFeed(system.settings)
    feed.start()
    try:
        return set(offline(system.settings, feed.configuration)[0])
    finally:
        feed.stop()


def test_a_new_data_directory_goes_on_with_an_old_clickhouse(tmp_path: Path) -> None:
    server = clickhouse.start(tmp_path / "clickhouse")
    options = "--clickhouse-url", server.login()
    with Places() as places:
        with running(tmp_path / "old", *options) as system:
            before = _some_load(system, places)
            told_before = changes(system)
        with running(tmp_path / "new", *options) as system:
            after = _some_load(system, places)
            accepted, texts = before.accepted | after.accepted, before.texts | after.texts
            spans = stored(system)
            assert accepted <= spans.keys() <= texts.keys()
            assert {n for _, _, n in spans.values()} == {1}
            assert [subject for subject, _ in scores(system, "refunds")] == sorted(spans)
            new = _folded(system)
            assert len(new) >= 2
            assert sorted(new | set(told_before)) == changes(system)
            assert {deliveries(system)[place, change] for place in ("slack", "mail") for change in new} == {"sent"}
    clickhouse.stop(server)
