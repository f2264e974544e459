"""`vedette doctor` on a real Kafka, a real ClickHouse and a real api: it finds what is wrong and names the fix."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import Producer

from schemas.codec import encode
from schemas.documents.key import new_key
from schemas.example import Example
from schemas.ids import record_key
from schemas.later import LaterRequest
from schemas.request import Pair, ScoreRequest
from schemas.span import TraceChunk
from schemas.subject import Subject
from schemas.topics import Topic
from sinks.clickhouse import migrate
from sinks.clickhouse.client import ClickHouse, connect
from streams import kafka as clients
from streams.cli.client import ApiError, Client
from streams.doctor import waiters
from streams.local.ports import free_port
from streams.settings import Settings
from tests.support.jobs import Installation
from tests.support.shell import vedette

pytestmark = pytest.mark.integration

Found = list[dict[str, str]]
SCORER = {"type": "contains", "with": {"any": ["please"]}, "online": [{"filter": {"agent": "Clerk", "kind": "llm"}}]}
RULE = {"when": {"any": [{"scorer": "polite", "is": "fails"}]}, "group_by": ["customer"]}
DESTINATION = {"type": "email", "to": ["a@b.example"], "smtp": {"host": "127.0.0.1", "port": 1, "tls": "none"}}


@pytest.fixture
def tables(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    server = connect(clickhouse, database)
    migrate.migrate(server)
    yield server
    server.close()


def doctor(
    installation: Installation, clickhouse: str = "http://127.0.0.1:1", code: int = 3, **further: str
) -> dict[str, Found]:
    """The results by the name of their check."""
    out, _ = vedette(installation, "doctor", "--json", code=code, VEDETTE_CLICKHOUSE_URL=clickhouse, **further)
    told = json.loads(out)
    found: dict[str, Found] = {}
    for one in told["checks"]:
        found.setdefault(one["check"], []).append(one)
    assert told["findings"] == len(bad(told["checks"]))
    assert [one for one in bad(told["checks"]) if not one["fix"]] == []  # every finding has its fix
    return found


def bad(results: Sequence[dict[str, str]]) -> Found:
    return [one for one in results if one["state"] == "finding"]


def states(found: dict[str, Found], *checks: str) -> dict[str, set[str]]:
    return {check: {one["state"] for one in found[check]} for check in checks}


def test_with_everything_away_it_says_so_in_time_and_asks_nothing_further(installation: Installation) -> None:
    found = doctor(
        installation,
        VEDETTE_BOOTSTRAP_SERVERS="127.0.0.1:1",
        VEDETTE_API_URL="http://127.0.0.1:1",
        VEDETTE_ADMIN_KEY="k",
    )
    assert states(found, "kafka", "clickhouse", "api") == {
        check: {"finding"} for check in ("kafka", "clickhouse", "api")
    }
    others = {one["value"] for check in found for one in found[check] if one["what"] == "not asked"}
    assert others == {"needs kafka", "needs clickhouse", "needs kafka and clickhouse", "needs api"}


def test_what_is_as_it_must_be_is_told_and_jobs_that_nobody_runs_are_findings(
    installation: Installation, tables: ClickHouse, clickhouse: str
) -> None:
    installation.start("match")
    found = doctor(installation, f"{clickhouse}/{tables.database}")
    good = (
        "kafka", "topics", "topic sizes", "records", "broker clock", "lag", "dead letters", "score-later",
        "clickhouse clock", "migrations", "parts", "merges", "clickhouse disk", "deliveries", "scorers", "rules", "skipped",
    )  # fmt: skip
    assert states(found, *good) == {check: {"ok"} for check in good}
    lonely = {one["what"].removeprefix("no process of ") for one in bad(found["members"])}
    assert {"count", "store", "normalise"} <= lonely
    assert "match" not in lonely
    assert states(found, "api") == {"api": {"unknown"}}  # none is known: that is not bad


def test_foreign_and_unreadable_records_are_told(installation: Installation) -> None:
    theirs = Producer({**clients.common(installation.settings), "partitioner": "consistent_random"})
    for number in range(20):
        example = Example(project="shop", example_id=str(number), fields=b"{}")
        key = record_key("shop", str(number))
        theirs.produce(installation.name(Topic.EXAMPLES), key=key, value=encode(example))
    theirs.produce(installation.name(Topic.SCORES), key=b"k", value=b"\xc3\x01" + b"\x07" * 8 + b"rest")
    theirs.flush(10)
    found = {one["what"]: one["value"] for one in bad(doctor(installation)["records"])}
    foreign = found[f"a foreign producer writes {installation.name(Topic.EXAMPLES)}"]
    assert foreign.endswith("theirs is crc32, librdkafka's default")
    unread = found[f"records on {installation.name(Topic.SCORES)} cannot be read"]
    assert unread.startswith("1 of 1 (100 %) of the newest: nobody tells")


def test_what_piles_up_is_told(installation: Installation) -> None:
    told = {"vedette-error-topic": b"otlp_spans", "vedette-error-class": b"KeyError", "vedette-error-job": b"normalise"}
    for _ in range(3):
        installation.put(Topic.DLQ, b"k", b"bytes", told)
    request = ScoreRequest(
        project="shop", ingested_at=1, pairs=(Pair(subject=0, scorer="new", version="", base_version=""),),
        subjects=(Subject(project="shop", kind="example", subject_id="e", fields=b"{}"),),
    )  # fmt: skip
    later = LaterRequest(project="shop", scorer="new", later_id="1", give_up_at=2**45, request=request)
    gone = later.model_copy(update={"scorer": "old", "later_id": "2"})
    for one in (later, gone, gone.model_copy(update={"state": "released", "request": None})):
        installation.put(Topic.SCORE_LATER, record_key("shop", one.scorer), one)
    installation.flush()
    (job,) = installation.start("later")
    installation.until(lambda: "vedette_later_waiting" in job.get("/metrics") and 'scorer="new"' in job.get("/metrics"))
    time.sleep(0.6)  # it commits after its batch

    found = doctor(installation)
    (letters,) = bad(found["dead letters"])
    assert letters["value"].startswith("3 in the last day, 3 of them in the last hour; 3 are kept")
    assert letters["value"].endswith("3 KeyError of normalise on otlp_spans")
    (waiting,) = bad(found["score-later"])
    assert (waiting["what"], waiting["value"][:13]) == ("scorer 'new' of project shop does not exist", "1 evaluations")
    assert waiters.told(waiters.waiters(installation.settings, 4.0)) == [
        {"project": "shop", "scorer": "new", "evaluations": 1, "reason": waiters.NO_SCORER}
    ]


def test_a_job_that_stands_still_is_told_with_how_long_its_next_record_has_waited(installation: Installation) -> None:
    chunk = TraceChunk(project="shop", trace_id="a" * 32, ingested_at=1)
    (job,) = installation.start("match")
    installation.put(Topic.SPANS, record_key("shop", "a"), chunk)
    installation.flush()
    installation.until(lambda: "vedette_records_total{" in job.get("/metrics"))
    assert job.terminate() == 0
    hour_ago = int(time.time() * 1000) - 3_600_000
    for _ in range(4):
        installation.producer.produce(
            installation.name(Topic.SPANS), key=record_key("shop", "a"), value=encode(chunk), timestamp=hour_ago
        )
    installation.flush()
    (still,) = bad(doctor(installation)["lag"])
    assert still["value"] == "4 records behind, the next has waited for 60 min; stands still"


def test_filters_context_skips_and_drift_are_counted_in_clickhouse(
    installation: Installation, tables: ClickHouse, clickhouse: str
) -> None:
    installation.configure("Scorer", "polite", SCORER, project="shop")
    installation.configure("Rule", "often", RULE, project="shop")
    of_traces = [{"target": "trace", "filter": {"kind": "agent", "agent_version": "2"}}]
    installation.configure("Scorer", "whole", {**SCORER, "online": of_traces}, project="shop")
    installation.flush()
    now = "toDateTime64(now(), 3)"
    tables.execute(
        "INSERT INTO {ours:Identifier}.spans (project, trace_id, span_id, origin, agent, kind, start_time, ingested_at) "
        f"SELECT 'shop', toString(number), '1', 'online', if(number < 30, '', 'Porter'), 'llm', {now}, {now} FROM numbers(100)"
    )
    tables.execute(
        "INSERT INTO {ours:Identifier}.scores (project, score_id, scorer, outcome, reason, origin, ingested_at) "
        "SELECT 'shop', toString(number), 'polite', if(number < 8, 'skipped', 'fail'), "
        f"if(number < 8, 'the span has no \\'output\\'; set THIS', ''), 'online', {now} FROM numbers(20)"
    )
    tables.execute("ALTER TABLE {ours:Identifier}.scores ADD COLUMN by_hand String")
    found = doctor(installation, f"{clickhouse}/{tables.database}")
    scorer, of_traces_too = sorted(bad(found["scorers"]), key=lambda one: one["what"])
    assert of_traces_too["value"] == "none of 100 traces of the last day passes its filter (kind 'agent': 0)"
    assert scorer["what"] == "scorer 'polite' of project shop misses agent"
    assert scorer["value"].startswith("30 of 100 (30 %) spans")
    (rule,) = bad(found["rules"])
    assert (rule["what"], rule["value"]) == (
        "rule 'often' of project shop misses customer",
        "20 of 20 (100 %) scores of the last day lack it and fall into the group ''",
    )
    (skip,) = bad(found["skipped"])
    assert (skip["what"], skip["value"], skip["fix"]) == (
        "scorer 'polite' of project shop: 8 skipped", "the span has no 'output'", "set THIS",
    )  # fmt: skip
    (drift,) = bad(found["migrations"])
    assert "scores.by_hand" in drift["what"]


def test_destinations_are_asked_by_the_api_which_has_their_secrets(
    kafka: str, topic_prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    key, file = new_key(b"s" * 32, b"admin1"), tmp_path_factory.mktemp("key") / "admin"
    file.write_text(key)
    settings = Settings(
        bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, private_networks=["127.0.0.0/8"]
    )
    installation = Installation(settings, file.parent)
    port = free_port()
    installation.start("streams.api.job", ready=False, api_port=port, bootstrap_admin_key_file=file)
    api = Client(f"http://127.0.0.1:{port}", key)
    try:
        installation.until(lambda: answers(api))
        spec: dict[str, Any] = {"apiVersion": "vedette/v1", "kind": "Destination", "metadata": {"name": "post"}}
        api.put("/api/v1/documents", [{**spec, "spec": DESTINATION}])
        found = doctor(installation, VEDETTE_API_URL=api.url, VEDETTE_ADMIN_KEY=key)
        assert states(found, "api") == {"api": {"ok"}}
        (post,) = bad(found["destinations"])
        assert post["what"] == "destination 'post' of project default"
        assert post["value"] == "127.0.0.1:1 cannot be reached: ConnectionRefusedError"
    finally:
        installation.stop()


def answers(api: Client) -> bool:
    try:
        api.get("/api/v1/keys")
    except ApiError:
        return False
    return True
