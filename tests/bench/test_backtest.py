"""A back-test over ten million scores, beside reading the same columns of them into Python."""

import time
from collections.abc import Iterator

import pytest

from schemas.documents.rule import RuleSpec
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.evaluations import evaluations
from sinks.clickhouse.migrate import migrate
from streams.history.backtest import summary
from streams.history.over_scores import backtest
from streams.logic.rules import RuleVersion
from tests.bench.figures import told as figure

pytestmark = [pytest.mark.bench, pytest.mark.integration]

SCORES = 10_000_000
FAILING = 20
"""One of so many fails."""
AGENTS = 50
AT_ONCE = 250_000
"""Rows of one insert: the ClickHouse of the tests has one gigabyte of memory."""
DAY_MS = 86_400_000
RULE = {
    "when": {"all": [{"scorer": "polite", "is": "fails"}]},
    "group_by": ["agent"],
    "times": 8,
    "within": "5m",
    "cooldown": "30m",
}
FILL = f"""
INSERT INTO {{ours:Identifier}}.scores (project, score_id, scorer, scorer_version, subject_kind, subject_id, agent, outcome, origin, attempt,
  ts, ingested_at, version)
SELECT 'shop', toString(sipHash64(number)), 'polite', 'v1', 'example', concat('e', toString(number)), concat('agent-', toString(number % {AGENTS})),
  if(sipHash64(number, 1) % {FAILING} = 0, 'fail', 'pass'), 'online', 0, at, at, number
FROM (SELECT number, fromUnixTimestamp64Milli({{since:Int64}} + toInt64(number * {{step:Float64}}), 'UTC') AS at
  FROM numbers({{first:UInt64}}, {AT_ONCE}))
"""
READ = """
SELECT toUnixTimestamp64Milli(t.ingested_at) AS at, toString(subject_kind), subject_id, outcome, toString(agent)
FROM {ours:Identifier}.scores AS t FINAL WHERE project = 'shop' AND scorer = 'polite'
"""


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = connect(clickhouse, database, timeout_s=600)
    migrate(connected)
    yield connected
    connected.close()


def test_ten_million_scores(server: ClickHouse) -> None:
    until = time.time_ns() // 1_000_000
    since = until - 7 * DAY_MS
    for first in range(0, SCORES, AT_ONCE):
        server.execute(FILL, {"since": since, "step": 7 * DAY_MS / SCORES, "first": first})
    began = time.perf_counter()
    read = sum(len(block[0]) for block in server.column_blocks(READ))
    reading_s = time.perf_counter() - began
    rule = RuleVersion("shop", "rude", "v", RuleSpec.model_validate(RULE), effective_at=since)
    began = time.perf_counter()
    asked = sum(len(block[0]) for block in evaluations(server, "shop", rule.spec, since, until))
    asking_s = time.perf_counter() - began
    began = time.perf_counter()
    play = backtest(server, rule, since, until, lambda _: None)
    folding_s = time.perf_counter() - began
    assert read == SCORES
    assert play.evaluated > 0.9 * SCORES / FAILING
    assert play.changes
    figure(
        "backtest",
        "<= 3",
        [folding_s],
        [reading_s],
        scores=SCORES,
        matches=asked,
        of_that_the_query_s=round(asking_s, 1),
        firings=summary(play)["alerts"],
    )
