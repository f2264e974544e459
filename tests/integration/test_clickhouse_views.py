"""`traces` and `scores_1m` over rows that came twice, late and unfinished, on a real ClickHouse."""

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import Writer
from tests.support.records import as_received

pytestmark = pytest.mark.integration

START_US = 1_795_000_000_000_000
START_MS = START_US // 1000


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = connect(clickhouse, database)
    migrate(connected)
    yield connected
    connected.close()


def chunk(
    *spans: Span, project: str = "p", trace: str = "t", at_ms: int = START_MS, origin: str = "online"
) -> TraceChunk:
    return TraceChunk.model_validate(
        {"project": project, "trace_id": trace, "ingested_at": at_ms, "origin": origin, "spans": spans}
    )


def span(number: int, parent: int | None = 0, seconds: float = 0, lasts: float = 1, **further: Any) -> Span:
    given = {
        "span_id": str(number),
        "parent_span_id": "" if parent is None else str(parent),
        "start_time": START_US + round(seconds * 1e6),
        "duration_us": round(lasts * 1e6),
        **further,
    }
    return Span.model_validate(given)


ROOT = span(
    0, None, lasts=5, name="answer", kind="agent", agent="Support", customer_id="c", input="Where is it?", output="Here.",
    input_tokens=900, cost_usd=9.0,
)  # fmt: skip
CALL = span(1, seconds=1, kind="llm", model="m-1", input_tokens=100, output_tokens=20, cost_usd=0.25)
TOOL = span(2, seconds=2, lasts=0.5, kind="tool", status="error", agent="Tracker", session_id="s")


def insert(server: ClickHouse, *chunks: TraceChunk) -> None:
    """Each as an insert of its own: parts that are not merged yet."""
    writer = Writer(server)
    for one in chunks:
        writer.insert([as_received(Topic.SPANS, one)])


def traces(server: ClickHouse, columns: str, where: str = "1") -> list[dict[str, Any]]:
    rows = server.rows(f"SELECT {columns} FROM {{ours:Identifier}}.traces WHERE {where} ORDER BY project, trace_id")
    return [dict(zip(columns.split(", "), row, strict=True)) for row in rows]


def test_a_trace_is_one_row_with_its_sums_counted_once_though_every_span_came_twice(server: ClickHouse) -> None:
    whole = chunk(ROOT, CALL, TOOL)
    insert(server, whole, whole, chunk(CALL), chunk(TOOL))
    (trace,) = traces(
        server,
        "name, agent, agents, status, spans, errors, llm_calls, tool_calls, models, input_tokens, output_tokens, cost_usd, "
        "session_id, customer_id, input, output, duration_us, finished",
    )
    assert trace == {
        "name": "answer",
        "agent": "Support",
        "agents": ["Support", "Tracker"],
        "status": "unset",
        "spans": 3,
        "errors": 1,
        "llm_calls": 1,
        "tool_calls": 1,
        "models": ["m-1"],
        "input_tokens": 100,  # what the agent's own span repeats is not added
        "output_tokens": 20,
        "cost_usd": 0.25,
        "session_id": "s",
        "customer_id": "c",
        "input": "Where is it?",
        "output": "Here.",
        "duration_us": 5_000_000,
        "finished": True,
    }


def test_a_late_span_changes_the_row_of_its_trace(server: ClickHouse) -> None:
    insert(server, chunk(CALL))
    columns = "root_span_id, spans, duration_us, cost_usd, output, finished"
    before = {
        "root_span_id": "1",
        "spans": 1,
        "duration_us": 1_000_000,
        "cost_usd": 0.25,
        "output": "",
        "finished": False,
    }
    assert traces(server, columns) == [before]
    late = span(3, seconds=3600, lasts=2, kind="llm", cost_usd=0.5)
    insert(server, chunk(CALL), chunk(ROOT), chunk(late, at_ms=START_MS + 3_700_000))
    after = {
        "root_span_id": "0",
        "spans": 3,
        "duration_us": 3_602_000_000,
        "cost_usd": 0.75,
        "output": "Here.",
        "finished": True,
    }
    assert traces(server, columns) == [after]


def test_a_trace_with_an_open_span_is_not_finished(server: ClickHouse) -> None:
    insert(server, chunk(ROOT, span(4, partial=True)))
    assert traces(server, "spans, finished") == [{"spans": 2, "finished": False}]
    insert(server, chunk(ROOT), chunk(span(4)))
    assert traces(server, "spans, finished") == [{"spans": 2, "finished": True}]


def test_the_same_trace_id_of_two_projects_is_two_traces_and_a_replay_is_none(server: ClickHouse) -> None:
    insert(server, chunk(ROOT), chunk(ROOT, CALL, project="q"), chunk(ROOT, trace="r", origin="replay"))
    assert traces(server, "project, trace_id, spans") == [
        {"project": "p", "trace_id": "t", "spans": 1},
        {"project": "q", "trace_id": "t", "spans": 2},
    ]


def test_a_filter_on_the_time_keeps_whole_traces(server: ClickHouse) -> None:
    insert(server, chunk(ROOT, span(5, seconds=7200)), chunk(span(0, None, seconds=90_000), trace="u"))
    first_hour = f"project = 'p' AND start_time < fromUnixTimestamp64Micro({START_US + 3_600_000_000})"
    assert traces(server, "trace_id, spans", first_hour) == [{"trace_id": "t", "spans": 2}]


def test_the_time_of_a_trace_reads_only_its_part_of_the_table(server: ClickHouse) -> None:
    insert(server, chunk(ROOT))
    query = "EXPLAIN indexes = 1 SELECT * FROM {ours:Identifier}.traces WHERE project = 'p' AND start_time > '2026-11-01 00:00:00'"
    assert "toStartOfHour(start_time)" in [row[0].strip(" │└─├") for row in server.rows(query)]


def score(number: int, outcome: str, attempt: int = 0, **further: Any) -> Score:
    given = {
        "project": "p",
        "score_id": f"s{number}",
        "scorer": "polite",
        "scorer_version": "v",
        "subject_kind": "span",
        "subject_id": f"t:{number}",
        "agent": "Support",
        "outcome": outcome,
        "attempt": attempt,
        "sampling_rate": 0.5,
        "ingested_at": START_MS,
        **further,
    }
    return Score.model_validate(given)


def test_a_minute_counts_each_score_once_by_its_newest_attempt(server: ClickHouse) -> None:
    writer = Writer(server)
    for scores in (
        [score(1, "pass", value=1.0), score(2, "fail", value=0.0), score(3, "skipped"), score(4, "error")],
        [score(1, "pass", value=1.0)],
        [score(2, "pass", attempt=1, value=1.0)],
        [score(5, "scored", value=0.5, ingested_at=START_MS + 60_000), score(6, "pass", origin="replay", run_id="r")],
    ):
        writer.insert([as_received(Topic.SCORES, one) for one in scores])
    columns = "n, n_pass, n_fail, n_error, n_scored, n_skipped, n_estimated, avg_value"
    rows = server.rows(f"SELECT {columns} FROM {{ours:Identifier}}.scores_1m WHERE project = 'p' ORDER BY minute")
    assert rows == [(3, 2, 0, 1, 0, 1, 6.0, 1.0), (1, 0, 0, 0, 1, 0, 2.0, 0.5)]
