"""Commands against a real api, Kafka and ClickHouse: what they print and how they leave."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.codec import encode
from schemas.documents.key import new_key
from schemas.ids import record_key
from schemas.score import Score
from schemas.topics import Topic
from streams import kafka as kafka_clients
from streams import schema_topic
from streams.cli.client import ApiError, Client
from streams.local.ports import free_port
from streams.settings import Settings

pytestmark = pytest.mark.integration

ADMIN = new_key(b"s" * 32, b"admin1")
SCORER = """\
apiVersion: vedette/v1
kind: Scorer
metadata: {name: parcels, project: p}
spec:
  type: contains
  with: {any: [parcel]}
---
apiVersion: vedette/v1
kind: Rule
metadata: {name: many, project: p}
spec: {when: {any: [{scorer: others, is: fails}]}}
"""


class Shell:
    """Runs `vedette` in a directory with an environment."""

    def __init__(self, cwd: Path, environ: dict[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VEDETTE_")}
        self.cwd, self.environ = cwd, clean | environ

    def __call__(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "vedette.cli", *arguments],
            cwd=self.cwd, env=self.environ, input=text, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def shell(kafka: str, topic_prefix: str, clickhouse: str, database: str, tmp_path: Path) -> Iterator[Shell]:
    port = free_port()
    (tmp_path / "admin").write_text(ADMIN)
    servers = {
        "VEDETTE_BOOTSTRAP_SERVERS": kafka,
        "VEDETTE_TOPIC_PREFIX": topic_prefix,
        "VEDETTE_PARTITIONS": "2",
        "VEDETTE_CLICKHOUSE_URL": clickhouse,
        "VEDETTE_CLICKHOUSE_DATABASE": database,
        "VEDETTE_BOOTSTRAP_ADMIN_KEY_FILE": str(tmp_path / "admin"),
    }
    shell = Shell(tmp_path, {**servers, "VEDETTE_API_URL": f"http://127.0.0.1:{port}", "VEDETTE_ADMIN_KEY": ADMIN})
    code, out, _ = shell("topics")
    assert (code, f"{topic_prefix}vedette.config" in out.splitlines()) == (0, True)
    command = [sys.executable, "-m", "streams.cli", "api", "--api-port", str(port)]
    job = subprocess.Popen(command, env=shell.environ, cwd=tmp_path)
    _wait_for(Client(f"http://127.0.0.1:{port}", ADMIN))
    yield shell
    job.terminate()
    assert job.wait(10) == 0


def _wait_for(client: Client) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            client.get("/api/v1/openapi.json")
            return
        except ApiError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_configuration_goes_through_its_life(shell: Shell) -> None:
    (shell.cwd / "config").mkdir()
    (shell.cwd / "config" / "p.yaml").write_text(SCORER)
    code, out, err = shell("apply", "-f", "config")
    assert (code, [line.split()[:4] for line in out.splitlines()]) == (
        0, [["RESULT", "KIND", "NAME", "PROJECT"], ["created", "Scorer", "parcels", "p"], ["created", "Rule", "many", "p"]],
    )  # fmt: skip
    assert err.splitlines() == [
        "warning: Rule 'many': scorer 'others' does not exist in project p yet: the rule waits for its scores",
        "warning: Rule 'many': no actions: its alerts are only listed",
    ]
    assert shell("diff", "-f", "config")[:2] == (0, "")
    changed = SCORER.replace("[parcel]", "[parcel, package]")
    code, out, _ = shell("diff", "-f", "-", text=changed)
    assert (code, [line.strip() for line in out.splitlines() if line.startswith("+ ")]) == (3, ["+    - package"])
    code, out, _ = shell("get", "scorer", "parcels", "-o", "yaml")
    assert (code, shell("diff", "-f", "-", text=out)[0]) == (0, 0)
    code, _, err = shell("apply", "-f", "-", text=SCORER.replace("contains", "contians"))
    assert (code, err) == (1, "stdin:5:3: spec.type: no scorer type 'contians'; did you mean 'contains'?\n")
    code, _, err = shell("apply", "-f", "config", "-p", "q")
    assert (code, err.splitlines()) == (
        1,
        [
            "config/p.yaml:3:27: metadata.project: is p, but the command is for q; leave one of them out",
            "config/p.yaml:10:24: metadata.project: is p, but the command is for q; leave one of them out",
        ],
    )
    assert shell("delete", "scorer", "parcels", "-p", "p")[0] == 0
    assert shell("delete", "scorer", "parcels", "-p", "p") == (1, "", "there is no Scorer 'parcels' in project p\n")
    assert shell("get", "scorer", "parcels") == (1, "", "there is no scorer 'parcels'\n")
    assert json.loads(shell("get", "rule", "-o", "json")[1])[0]["metadata"] == {"name": "many", "project": "p"}


def test_a_key_is_printed_once_and_works_until_it_is_revoked(shell: Shell) -> None:
    code, key, err = shell("keys", "create", "--project", "p", "--scope", "read,ingest", "--label", "agents")
    key = key.strip()
    assert (code, err) == (0, f"key {key[3:15]} for p with read, ingest; it is shown only now\n")
    assert key not in shell("keys", "ls", "-o", "json")[1]
    reader = Shell(shell.cwd, shell.environ | {"VEDETTE_ADMIN_KEY": key})
    assert reader("get", "rule") == (0, "", "nothing\n")
    assert reader("get", "rule", "-p", "other")[0] == 1
    assert shell("keys", "revoke", key[3:15])[0] == 0
    assert reader("get", "rule")[0] == 1


def test_topics_and_tables_are_made_once_and_checked(shell: Shell) -> None:
    assert shell("topics") == (0, "", "0 topics created\nall are kept as long as before\n")
    assert shell("topics", "--check")[0] == 0
    assert shell("migrate", "--check")[0] == 3
    assert shell("migrate")[0] == 0
    assert shell("migrate", "--check") == (0, "", "the tables are as they must be\n")
    other = Shell(shell.cwd, shell.environ | {"VEDETTE_TOPIC_PREFIX": "another."})
    code, out, _ = other("topics", "--check")
    assert (code, out.splitlines()[0].split(), "does not exist" in out) == (3, ["TOPIC", "PROBLEM", "FIX"], True)


def test_dead_letters_and_records_are_read_from_kafka(shell: Shell) -> None:
    settings = Settings(
        bootstrap_servers=shell.environ["VEDETTE_BOOTSTRAP_SERVERS"], topic_prefix=shell.environ["VEDETTE_TOPIC_PREFIX"]
    )
    producer = kafka_clients.producer(settings)
    told = {"job": "normalise", "topic": "otlp_spans", "class": "Undecodable", "message": "no OTLP"}
    headers = [(f"vedette-error-{name}", value.encode()) for name, value in told.items()]
    dlq = kafka_clients.topic_name(settings, Topic.DLQ)
    producer.produce(dlq, key=b"k", value=b"\xff\x00", headers=[*headers, ("vedette-project", b"p")], partition=1)
    schema_topic.publish(settings, producer, Score)
    scores = kafka_clients.topic_name(settings, Topic.SCORES)
    for number, project in enumerate(("p", "q", "p")):
        score = Score(
            project=project, score_id=f"s{number}", scorer="x", scorer_version="1", subject_kind="span", subject_id="t:s",
            outcome="pass", ingested_at=1,
        )  # fmt: skip
        producer.produce(scores, key=record_key(project, "t"), value=encode(score))
    producer.flush(10)
    (letter,) = json.loads(shell("dlq", "ls", "-o", "json")[1])
    place = {"partition": 1, "offset": 0, "time": "", "project": "p", "replays": 0}
    assert {**letter, "time": ""} == {**place, **told}
    assert shell("dlq", "ls", "-p", "q") == (0, "", "nothing\n")
    shown = json.loads(shell("dlq", "show", "1", "0")[1])
    assert (shown["key"], shown["value_base64"], shown["headers"]["vedette-project"]) == ("k", "/wA=", "p")
    assert shell("dlq", "show", "0", "7") == (1, "", "there is no dead letter at 0 7; `vedette dlq ls` lists them\n")
    code, out, _ = shell("tail", "scores", "-p", "p", "--from-beginning", "-n", "2")
    assert (code, [json.loads(line)["score_id"] for line in out.splitlines()]) == (0, ["s0", "s2"])
