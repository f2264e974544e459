"""Back-tests and audits on a real ClickHouse and a real Kafka: what is stored decides as the live jobs decide."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.ids import record_key, score_id
from schemas.rule import Evaluated, RuleEvent
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.subject import subject_of_span
from schemas.topics import Topic
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.evaluations import evaluations
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import Writer
from streams.cli.app import app
from streams.logic.collect import Collect
from streams.logic.conditions import Observed
from streams.logic.matching import Match, condition_of, matched
from streams.logic.rules import RuleVersion
from streams.settings import Settings
from tests.support.jobs import Installation
from tests.support.records import as_received

pytestmark = pytest.mark.integration

PROJECT = "shop"
NOW = time.time_ns() // 1_000_000
WHENS: list[dict[str, Any]] = [
    {"all": [{"scorer": "polite", "is": "fails"}]},
    {"any": [{"scorer": "polite", "is": "errors"}, {"scorer": "brief", "op": "<=", "value": 0.5}]},
    {"all": [{"metric": "duration_ms", "op": ">", "value": 500}]},
    {"any": [{"metric": "tokens", "op": ">=", "value": 50}, {"metric": "error", "op": "==", "value": 1}]},
    {"all": [{"metric": "cost_usd", "op": "<", "value": 0.5}]},
    {"any": [{"attribute": "plan", "op": "==", "value": "gold"}, {"tag": "vip"}]},
    {"all": [{"attribute": "retries", "op": ">", "value": 2}]},
    {"all": [{"attribute": "cached", "op": "==", "value": True}]},
    {"any": [{"scorer": "polite", "in": ["warm", "cold"]}, {"attribute": "plan", "in": ["tin"]}]},
    {"all": [{"scorer": "polite", "is": "fails"}, {"metric": "error", "op": "==", "value": 1}]},
    {"all": [{"metric": "cost_usd", "op": ">", "value": 0.5}, {"scorer": "brief", "op": ">", "value": 0.1}]},
    {"any": [{"scorer": "polite", "is": "succeeds"}, {"attribute": "it's \\ odd", "op": "!=", "value": "x"}]},
]
FURTHER: list[dict[str, Any]] = [
    {},
    {"group_by": ["agent", "session"]},
    {"group_by": ["customer", "attribute:plan"], "filter": {"environment": "production"}},
    {"filter": {"agent": "Clerk", "kind": "llm"}},
    {"filter": {"span": "chat"}, "group_by": ["attribute:it's \\ odd"]},
    {"rate": {"share": 0.5, "of": 3}, "group_by": ["agent"]},
    {"per": "trace", "group_by": ["agent"]},
]


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = connect(clickhouse, database)
    migrate(connected)
    yield connected
    connected.close()


def some_score(choose: random.Random, number: int) -> Score:
    subject, scorer = f"e{number}", choose.choice(("polite", "brief"))
    return Score(
        project=PROJECT,
        score_id=score_id(PROJECT, "example", subject, scorer, "v1"),
        scorer=scorer,
        scorer_version="v1",
        subject_kind="example",
        subject_id=subject,
        outcome=choose.choice(("pass", "fail", "error", "skipped")),
        value=choose.choice((None, 0.0, 0.5, 0.7)),
        ingested_at=NOW - choose.randrange(100_000),
        attributes={"plan": "gold"} if choose.random() < 0.3 else {},
        label=choose.choice(("warm", "cold", "odd", "")),
        trace_id=f"{choose.randrange(100):032x}" if choose.random() < 0.7 else "",
        **context(choose),
    )


def context(choose: random.Random) -> dict[str, Any]:
    return {
        "agent": choose.choice(("Clerk", "Porter", "")),
        "session_id": choose.choice(("s1", "")),
        "customer_id": choose.choice(("c1", "c2")),
        "environment": choose.choice(("production", "test")),
    }


def some_chunk(choose: random.Random, number: int) -> TraceChunk:
    attributes = {
        "plan": choose.choice(("gold", "tin")),
        "retries": choose.choice(("1", "3", " 4 ", "many")),
        "cached": choose.choice(("true", "True", "false")),
        "it's \\ odd": choose.choice(("x", "y")),
    }
    span = Span(
        span_id=f"{number:016x}",
        name=choose.choice(("chat", "search")),
        kind=choose.choice(("llm", "tool")),
        status=choose.choice(("ok", "error")),
        duration_us=choose.randrange(1_000_000),
        cost_usd=choose.choice((None, 0.1, 0.9)),
        input_tokens=choose.choice((None, 30)),
        output_tokens=choose.choice((None, 40)),
        start_time=NOW * 1000,
        tags=("vip",) if choose.random() < 0.3 else (),
        attrs={name: value for name, value in attributes.items() if choose.random() < 0.7},
        partial=choose.random() < 0.1,
        **context(choose),
    )
    ingested_at = NOW - choose.randrange(100_000)
    return TraceChunk(project=PROJECT, trace_id=f"{number:032x}", ingested_at=ingested_at, spans=(span,))


Row = tuple[int, str, str, bool, tuple[str, ...]]


def by_python(spec: RuleSpec, scores: list[Score], chunks: list[TraceChunk]) -> set[Row]:
    """What the matcher, and `complete`, would send."""
    rule, collect = RuleVersion(PROJECT, "r", "v", spec), Collect(kept_ms=1 << 50)
    observed: list[tuple[int, Observed]] = [(score.ingested_at, score) for score in scores]
    observed += [
        (chunk.ingested_at, subject_of_span(chunk, span))
        for chunk in chunks
        for span in chunk.spans
        if not span.partial
    ]
    found: list[Match] = []
    for at, one in sorted(observed, key=lambda pair: (pair[0], pair[1].subject_id)):
        for match in matched([rule], one, at, "", settled=True)[0] if at < NOW - 10_000 else ():
            if not spec.when.is_gathered:
                found.append(match)
            elif gathered := collect.take(condition_of(match), rule, lambda _: rule, at, 0):
                found.append(gathered)
    return {
        (e.ingested_at, e.subject_kind, e.subject_id, e.matched, match.group)
        for match in found
        for e in [match.evaluated]
    }


@pytest.mark.parametrize("when", WHENS, ids=lambda when: orjson.dumps(when).decode()[:60])
def test_what_is_stored_matches_as_it_did_when_it_came(
    server: ClickHouse, when: dict[str, Any], stored: tuple[list[Score], list[TraceChunk]]
) -> None:
    Writer(server).insert([as_received(Topic.SCORES, one) for one in stored[0]])
    Writer(server).insert([as_received(Topic.SPANS, one) for one in stored[1]])
    seen = 0
    for further in FURTHER:
        spec = RuleSpec.model_validate({"when": when, **further})
        rows = [
            row for block in evaluations(server, PROJECT, spec, 0, NOW - 10_000) for row in zip(*block, strict=True)
        ]
        assert rows == sorted(rows, key=lambda row: (row[0], row[2]))
        found = {(at, kind, identity, bool(did), tuple(group)) for at, kind, identity, did, *group in rows}
        expected = by_python(spec, *stored)
        if (
            spec.when.is_gathered and spec.needs_unmatched
        ):  # live, a trace may be told as none before it is told as a match
            expected = {row for row in expected if row[3] or not any(r[2] == row[2] and r[3] for r in expected)}
        assert found == expected, further
        seen += len(found)
    assert seen


@pytest.fixture(scope="module")
def stored() -> tuple[list[Score], list[TraceChunk]]:
    choose = random.Random(7)
    return [some_score(choose, n) for n in range(300)], [some_chunk(choose, n) for n in range(300)]


RULE = {
    "when": {"all": [{"scorer": "polite", "is": "fails"}]},
    "group_by": ["agent"],
    "times": 3,
    "within": "5m",
    "cooldown": "30m",
}


def vedette(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, f"{done.exit_code}: {done.output} {done.exception!r}"
    return done.stdout if code in (0, 3) else done.output


@pytest.fixture
def shop(
    kafka: str, clickhouse: str, database: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=topic_prefix,
        partitions=2,
        clickhouse_url=SecretStr(clickhouse),
        clickhouse_database=database,
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    made = Installation(settings, tmp_path)
    made.configure("Rule", "rude", RULE, PROJECT)
    made.in_effect()
    yield made
    made.stop()


def send(shop: Installation, *numbers: int, agent: str = "Clerk") -> None:
    for number in numbers:
        subject = f"e{number}"
        score = Score(
            project=PROJECT,
            score_id=score_id(PROJECT, "example", subject, "polite", "v1"),
            scorer="polite",
            scorer_version="v1",
            subject_kind="example",
            subject_id=subject,
            outcome="fail",
            agent=agent,
            ingested_at=time.time_ns() // 1_000_000,
        )
        shop.put(Topic.SCORES, record_key(PROJECT, subject), score)
    shop.flush()


def test_a_backtest_of_the_live_rule_tells_the_live_alert_and_an_audit_finds_nothing(
    shop: Installation, server: ClickHouse, tmp_path: Path
) -> None:
    shop.start("match", "count", "deliver", "store")
    send(shop, 1, 2, 3, 4)
    send(shop, 5, 6, agent="Porter")
    shop.until(lambda: len(shop.records(Topic.ALERTS, AlertChange)) == 1)
    count = "SELECT count() FROM {ours:Identifier}.matches FINAL"
    shop.until(lambda: server.rows(count)[0][0] == 6)
    (live,) = shop.records(Topic.ALERTS, AlertChange)

    document = {"apiVersion": "vedette/v1", "kind": "Rule", "metadata": {"name": "rude", "project": PROJECT}}
    (tmp_path / "rule.json").write_text(orjson.dumps({**document, "spec": RULE}).decode())
    (tmp_path / "eager.json").write_text(orjson.dumps({**document, "spec": {**RULE, "times": 2}}).decode())
    files = [str(tmp_path / name) for name in ("rule.json", "eager.json")]
    told = orjson.loads(vedette("rules", "backtest", *files, "--live", "--since", "1h", "-o", "json"))
    assert [(row["alerts"], row["suppressed"]) for row in told["rules"]] == [(1, 1), (2, 2), (1, 1)]
    fired = told["changes"][0]
    assert (fired["firing_id"], fired["subjects"], fired["group"]) == (live.firing_id, 3, ["Clerk"])

    early = vedette("rules", "backtest", files[0], "--since", "100d", code=2)
    assert "scores are kept for 90d; the earliest is 20" in early

    audited = orjson.loads(vedette("audit", "--rule", "rude", "-p", PROJECT, "-o", "json"))
    assert (audited["findings"], audited["compared"]["changes"]) == ([], 1)


def test_an_audit_finds_a_change_that_no_event_caused_and_an_event_without_a_score(
    shop: Installation, server: ClickHouse
) -> None:
    (count,) = shop.start("count")
    version = shop.configure("Rule", "rude", RULE, PROJECT)
    key = record_key(PROJECT, "rude", ("Clerk",))
    invented = Evaluated(subject_kind="example", subject_id="nobody", ingested_at=time.time_ns() // 1_000_000 - 120_000)
    event = RuleEvent(project=PROJECT, rule="rude", rule_version=version, group=("Clerk",), evaluated=(invented,))
    shop.put(Topic.RULE_EVENTS, key, event)
    forged = AlertChange(
        project=PROJECT, rule="rude", rule_version=version, group=("Clerk",), group_key='{"agent":"Clerk"}',
        alert_id="f" * 32, change=0, kind="fired", state="firing", fired_at=1, changed_at=time.time_ns() // 1_000_000,
    )  # fmt: skip
    shop.put(Topic.ALERTS, key, forged)
    shop.flush()
    shop.until(lambda: 'why="counted"' in count.get("/metrics"))
    audited = orjson.loads(vedette("audit", "--rule", "rude", "-p", PROJECT, "-o", "json", code=3))
    found = sorted((one["check"], one["problem"], one["what"]) for one in audited["findings"])
    assert found == [
        ("changes", "extra", f"alert {'f' * 32} change 0 (fired)"),
        ("events", "extra", "example nobody"),
    ]
    missing = vedette("audit", "--rule", "unheard", "-p", PROJECT, code=1)
    assert "project shop never had a rule 'unheard'" in missing
