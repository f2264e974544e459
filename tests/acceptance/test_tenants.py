"""Two tenants with the same names and ids in one stack, several workers of a job, and bodies that are no good between good ones."""

import json
import secrets
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.documents.key import key_id
from schemas.topics import Topic
from streams import kafka
from streams.config_feed import ConfigFeed
from streams.local.standins import SlackStandIn
from tests.faults.counter_soak import offline
from tests.support.otlp import Reply, export, export_of
from tests.support.system import System, running, until

pytestmark = pytest.mark.integration

WORDS = ("please", "danke", "nothing")
TENANT = """
apiVersion: vedette/v1
kind: Scorer
metadata: {{name: polite, project: {project}}}
spec:
  type: contains
  with: {{field: output, any: [{word}]}}
  threshold: 0.5
  online: [{{target: span, filter: {{kind: llm}}}}]
---
apiVersion: vedette/v1
kind: Destination
metadata: {{name: oncall, project: {project}}}
spec: {{type: slack, token: {{env: SLACK_BOT_TOKEN}}, channel: "#{project}", base_url: "{slack}"}}
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: first, project: {project}}}
spec:
  when: {{all: [{{scorer: polite, is: fails}}]}}
  group_by: [agent]
  times: {first}
  within: 5m
  cooldown: {cooldown}
  actions: [{{notify: oncall}}]
---
apiVersion: vedette/v1
kind: Rule
metadata: {{name: second, project: {project}}}
spec:
  when: {{all: [{{scorer: polite, is: fails}}]}}
  group_by: [agent]
  times: {second}
  within: 5m
  cooldown: {cooldown}
  actions: [{{notify: oncall}}]
"""


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn() as server:
        yield server


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, slack: SlackStandIn) -> Iterator[System]:
    with running(Path(tmp_path_factory.mktemp("tenants")) / "data") as system:
        # a group of either tenant fails 10 or 11 times: were they counted together, both rules would fire in both
        north = TENANT.format(project="north", word="please", slack=slack.url, first=3, second=12, cooldown="30m")
        south = TENANT.format(project="south", word="danke", slack=slack.url, first=12, second=3, cooldown="30m")
        busy = TENANT.format(project="busy", word="please", slack=slack.url, first=5, second=20, cooldown="2s")
        system.apply("---".join((north, south, busy)))
        yield system


def same_ids(project: str) -> list[Reply]:
    """Thirty replies whose ids every tenant uses: fifteen of each of two agents, five of them with each word."""
    return [
        Reply(f"{n + 1:032x}", f"{n + 1:016x}", f"{WORDS[n % 3]} for the customer of {project}", f"agent-{n % 2}")
        for n in range(30)
    ]


def send(system: System, key: str, project: str, replies: list[Reply]) -> None:
    status, answer = system.post("/v1/traces", export_of(replies), key, project)
    assert (status, json.loads(answer)) == (200, {})


def test_tenants_with_the_same_names_and_ids_do_not_meet(system: System, slack: SlackStandIn) -> None:
    key = system.key()
    for project in ("north", "south"):
        send(system, key, project, same_ids(project))
        examples = [
            {"id": f"e-{n}", "agent": f"agent-{n}", "fields": {"output": f"please, {project}"}, "scorers": ["polite"]}
            for n in range(2)
        ]
        status, _ = system.post("/v1/examples", json.dumps({"examples": examples}).encode(), key, project)
        assert status == 200
    until(lambda: len(slack.calls) == 4)
    until(system.is_drained)

    counted = "toUInt32(count()) AS n, toUInt32(uniqExact({})) AS ids"
    assert system.select(
        f"SELECT project, subject_kind, outcome, {counted.format('subject_id')} FROM scores FINAL GROUP BY ALL ORDER BY ALL"
    ) == [
        {"project": project, "subject_kind": kind, "outcome": outcome, "n": n, "ids": n}
        for project, kind, outcome, n in (
            ("north", "example", "pass", 2),
            ("north", "span", "fail", 20),
            ("north", "span", "pass", 10),
            ("south", "example", "fail", 2),
            ("south", "span", "fail", 20),
            ("south", "span", "pass", 10),
        )
    ]
    passed = system.select(
        "SELECT project, subject_id FROM scores FINAL WHERE outcome = 'pass' AND subject_kind = 'span'"
    )
    assert {(row["project"], row["subject_id"]) for row in passed} == {
        (project, reply.subject_id)
        for project, word in (("north", "please"), ("south", "danke"))
        for reply in same_ids(project)
        if reply.text.startswith(word)
    }
    assert system.select(
        f"SELECT project, rule, {counted.format('subject_id')} FROM matches FINAL GROUP BY ALL ORDER BY ALL"
    ) == [
        {"project": project, "rule": rule, "n": n, "ids": n}
        for project, n in (("north", 20), ("south", 22))
        for rule in ("first", "second")
    ]
    alerts = system.select("SELECT project, rule, group_key, state FROM alerts FINAL ORDER BY ALL")
    assert alerts == [
        {"project": project, "rule": rule, "group_key": f'{{"agent":"agent-{n}"}}', "state": "firing"}
        for project, rule in (("north", "first"), ("south", "second"))
        for n in range(2)
    ]
    assert sorted(call.arguments["channel"] for call in slack.calls) == ["#north", "#north", "#south", "#south"]
    for own, foreign in (("north", "south"), ("south", "north")):
        told = str([call.arguments for call in slack.calls if call.arguments["channel"] == f"#{own}"])
        assert own in told
        assert foreign not in told
        for table in ("spans", "examples", "scores", "matches", "alerts", "alert_changes", "deliveries"):
            rows = json.dumps(system.select(f"SELECT * FROM {table} FINAL WHERE project = '{own}'"))
            assert rows != "[]"
            assert foreign not in rows, table
    assert system.select(
        "SELECT project, toUInt32(count()) AS n FROM spans FINAL GROUP BY project ORDER BY project"
    ) == [{"project": "north", "n": 30}, {"project": "south", "n": 30}]


def test_a_key_for_one_project_may_not_report_to_another(system: System) -> None:
    key = system.vedette("keys", "create", "--project", "north", "--scope", "ingest").strip()
    foreign, own = reply("please, foreign"), reply("please, own")
    for path, body in (("/v1/traces", export_of([foreign])), ("/v1/examples", b'{"examples": [{"fields": {}}]}')):
        status, answer = system.post(path, body, key, "south")
        assert status == 403
        assert f"key {key_id(key)} may not use the project 'south' (it may use: north)" in json.loads(answer)["message"]
    assert system.post("/v1/traces", export_of([own]), key)[0] == 200  # the key's only project
    until(lambda: stored(system, [own, foreign]) == {("north", own.subject_id)})
    until(system.is_drained)
    assert stored(system, [own, foreign]) == {("north", own.subject_id)}


def test_two_scoring_workers_and_two_counters_give_what_one_gives(system: System) -> None:
    key = system.key()
    rounds = [[reply(f"{WORDS[n % 3]}", f"agent-{n % 8}") for n in range(24)] for _ in range(45)]
    sent = [one for replies in rounds for one in replies]
    with ThreadPoolExecutor(1) as aside:
        with system.further("count") as counter, system.further("score", "--class", "code") as scorer:
            load = aside.submit(send_paced, system, key, rounds)
            until(lambda: scorer.metric("vedette_records_total") > 5 and counter.metric("vedette_records_total") > 5)
            time.sleep(4)
            counter.process.send_signal(signal.SIGKILL)  # its partitions go back to the first while the load goes on
        load.result()
    mine = "WHERE project = 'busy'"
    until(lambda: system.select(f"SELECT toUInt32(count()) AS n FROM scores FINAL {mine}") == [{"n": len(sent)}])
    until(system.is_drained)
    scores = system.select(f"SELECT subject_id, outcome FROM scores FINAL {mine} ORDER BY subject_id")
    assert scores == sorted(
        ({"subject_id": one.subject_id, "outcome": "pass" if one.text == "please" else "fail"} for one in sent),
        key=lambda row: row["subject_id"],
    )
    assert system.select(
        f"SELECT rule, toUInt32(count()) AS n FROM matches FINAL {mine} GROUP BY ALL ORDER BY ALL"
    ) == [{"rule": rule, "n": len(sent) * 2 // 3} for rule in ("first", "second")]
    assert_alerts_are_the_fold_of_the_rule_events(system)


def assert_alerts_are_the_fold_of_the_rule_events(system: System) -> None:
    feed = ConfigFeed(system.settings)
    feed.start()
    must, may = offline(system.settings, feed.configuration)
    feed.stop()
    rows = system.select("SELECT alert_id, toUInt32(change) AS change FROM alert_changes FINAL")
    found = {(row["alert_id"], row["change"]) for row in rows}
    assert must.keys() <= found <= must.keys() | may.keys()
    assert len(rows) == len(found) > 10


def test_bad_bodies_between_good_ones_cost_the_good_ones_nothing(system: System) -> None:
    key, good = system.key(), [[reply("please") for _ in range(3)] for _ in range(8)]
    half = [reply("please, half") for _ in range(2)]
    broken = {**reply("broken").as_otlp(), "spanId": "xyz"}
    bad = [
        (400, {}, b"\x0a\xff\xff not protobuf", "application/x-protobuf"),
        (400, {}, b'{"resourceSpans": [{"scopeSpans"', "application/json"),
        (400, {}, b'{"resourceSpans": "none"}', "application/json"),
        (413, {}, b" " * (64 * 1024 * 1024 + 1), "application/json"),
        (401, {"authorization": "Bearer nobody"}, export_of(good[0]), "application/json"),
        (415, {}, b"span=1", "application/x-www-form-urlencoded"),
        (400, {"content-encoding": "gzip"}, b"\x1f\x8b\x08 cut", "application/json"),
        (200, {}, export([half[0].as_otlp(), broken, half[1].as_otlp()]), "application/json"),
    ]
    for replies, (status, headers, body, kind) in zip(good, bad, strict=True):
        send(system, key, "north", replies)
        answered, text = system.post("/v1/traces", body, key, "north", {"content-type": kind, **headers})
        assert answered in (status, 0 if status == 413 else status), (
            text
        )  # the connection may end before so much is sent
    assert json.loads(text)["partialSuccess"]["rejectedSpans"] == "1"
    good_ones = [*half, *(one for replies in good for one in replies)]
    produce(system, Topic.OTLP_SPANS, b"not what a bridge writes", {"vedette-project": b"north"})
    produce(system, Topic.SCORES, b"not a score", {})
    last = [reply("please, last")]
    send(system, key, "north", last)
    wanted = {("north", one.subject_id) for one in [*good_ones, *last]}
    until(lambda: stored(system, [*good_ones, *last]) == wanted)
    until(system.is_drained)

    letters = json.loads(system.vedette("dlq", "ls", "-o", "json"))
    assert sorted((letter["topic"], letter["job"], letter["project"]) for letter in letters) == [
        ("otlp_spans", "normalise", "north"),
        ("vedette.scores", "match", ""),
        ("vedette.scores", "store", ""),
    ]
    (raw,) = (letter for letter in letters if letter["job"] == "normalise")
    shown = json.loads(system.vedette("dlq", "show", str(raw["partition"]), str(raw["offset"])))
    assert (shown["value"], shown["class"]) == ("not what a bridge writes", "Undecodable")


def reply(text: str, agent: str = "agent-0") -> Reply:
    return Reply(secrets.token_hex(16), secrets.token_hex(8), text, agent)


def send_paced(system: System, key: str, rounds: list[list[Reply]]) -> None:
    for replies in rounds:
        send(system, key, "busy", replies)
        time.sleep(0.15)


def stored(system: System, replies: list[Reply]) -> set[tuple[str, str]]:
    rows = system.select("SELECT project, trace_id, span_id FROM spans FINAL")
    wanted = {one.subject_id for one in replies}
    found = {(row["project"], f"{row['trace_id']}:{row['span_id']}") for row in rows}
    return {(project, subject) for project, subject in found if subject in wanted}


def produce(system: System, topic: Topic, value: bytes, headers: dict[str, bytes]) -> None:
    producer = kafka.producer(system.settings)
    producer.produce(kafka.topic_name(system.settings, topic), value, headers=list(headers.items()))
    assert producer.flush(30) == 0
