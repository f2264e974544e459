"""Every query of docs/clickhouse.md gives rows on a real ClickHouse that has some."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.alert import AlertChange
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.record import Record
from schemas.rule import Evaluated, RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import columns, migrate, shipped, views
from sinks.clickhouse.writer import Writer
from tests.support.records import as_received

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "clickhouse.md").read_text()
QUERIES = dict(re.findall(r"\n([A-Z][^\n]*):\n```sql\n(.*?)\n```", PAGE, re.DOTALL))
NOW_MS = time.time_ns() // 1_000_000 - 60_000
TRACE = f"{1:032x}"
RULE = "Package Inquiry Failures"


def spans() -> TraceChunk:
    common = {"start_time": NOW_MS * 1000, "duration_us": 2_000_000, "attrs": {"app.release": "7"}}
    root = Span.model_validate(
        {
            **common,
            "span_id": "0",
            "agent": "Support",
            "kind": "agent",
            "session_id": "session-1",
            "customer_id": "c",
            "input": "Hi",
        }
    )
    call = Span.model_validate(
        {
            **common,
            "span_id": "1",
            "parent_span_id": "0",
            "kind": "llm",
            "model": "m",
            "input_tokens": 9,
            "cost_usd": 0.1,
        }
    )
    tool = Span.model_validate(
        {**common, "span_id": "2", "parent_span_id": "0", "kind": "tool", "tool_name": "track", "status": "error"}
    )
    return TraceChunk(project="default", trace_id=TRACE, ingested_at=NOW_MS, spans=(root, call, tool))


def score(number: int, outcome: str) -> Score:
    return Score.model_validate(
        {
            "project": "default", "score_id": str(number), "scorer": "Package Inquiry Scorer", "scorer_version": "v",
            "subject_kind": "span", "subject_id": f"{TRACE}:{number}", "trace_id": TRACE, "agent": "Support", "outcome": outcome,
            "value": 0.0 if outcome == "fail" else 1.0, "reason": "it says so", "ingested_at": NOW_MS,
        }
    )  # fmt: skip


RECORDS: tuple[tuple[Topic, Record], ...] = (
    (Topic.SPANS, spans()),
    *((Topic.SCORES, score(number, outcome)) for number, outcome in enumerate(("pass", "fail", "skipped", "error"))),
    (
        Topic.RULE_EVENTS,
        RuleEvent(
            project="default", rule=RULE, rule_version="v",
            evaluated=(Evaluated(subject_kind="span", subject_id=f"{TRACE}:1", trace_id=TRACE, ingested_at=NOW_MS),),
        ),
    ),
    (
        Topic.ALERTS,
        AlertChange(
            project="default", rule=RULE, rule_version="v", alert_id="a", change=0, kind="fired", state="firing",
            fired_at=NOW_MS, changed_at=NOW_MS,
        ),
    ),
    (
        Topic.DELIVERIES,
        Delivery(project="default", destination="slack", alert_id="a", change=0, state="sent", changed_at=NOW_MS),
    ),
    (
        Topic.DATASET_ITEMS,
        DatasetItem(
            project="default", dataset="package-inquiry-failures", item_id="i", subject_kind="span", subject_id=f"{TRACE}:1",
            added_by=f"rule {RULE}", added_at=NOW_MS, fields=b'{"input":"Hi"}',
        ),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def filled(clickhouse: str) -> Iterator[ClickHouse]:
    name = "t_docs_queries"
    server = connect(clickhouse, name)
    server.execute(f"DROP DATABASE IF EXISTS {name} SYNC")
    migrate(server)
    Writer(server).insert([as_received(topic, record) for topic, record in RECORDS])
    yield server
    server.execute(f"DROP DATABASE {name} SYNC")
    server.close()


def test_the_page_has_at_least_a_dozen_queries_and_names_every_table_and_view() -> None:
    assert len(QUERIES) == PAGE.count("```sql") >= 12
    documented = set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) | set(
        re.findall(r"^`(\w+)` has one row", PAGE, re.MULTILINE)
    )
    assert documented >= {*columns(shipped()), *views(shipped())}


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_of_the_page_gives_rows(filled: ClickHouse, title: str) -> None:
    assert filled.rows(QUERIES[title].replace("vedette.", f"{filled.database}.")) != []


@pytest.mark.parametrize("title", QUERIES)
def test_a_query_of_the_page_says_final_of_every_table(title: str) -> None:
    tables = "|".join(columns(shipped()))
    without = re.findall(rf"vedette\.({tables})(?! (?:AS \w+ )?FINAL)\b", QUERIES[title])
    assert without == []
