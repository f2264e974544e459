"""The api on a real Kafka: configuration, keys, alerts, restart."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from schemas.alert import AlertChange
from schemas.codec import encode
from schemas.documents.key import new_key
from schemas.ids import record_key
from schemas.topics import Topic
from streams import kafka as kafka_clients
from streams import schema_topic, topics
from streams.api.endpoints import ENDPOINTS
from streams.api.job import Api
from streams.cli.app import app
from streams.cli.client import ApiError, Client
from streams.config_feed import ConfigFeed
from streams.local.ports import free_port
from streams.local.standins import SmtpStandIn
from streams.observe import Health
from streams.settings import Settings

pytestmark = pytest.mark.integration

EXPECTED = {"all": ["done", "other", "open"], "open": ["other", "open"], "resolved": ["done"]}
ADMIN = new_key(b"s" * 32, b"admin1")


def scorer(name: str, project: str = "default", **spec: Any) -> dict[str, Any]:
    given = {"type": "contains", "with": {"field": "output", "any": ["parcel"]}, **spec}
    return {"apiVersion": "vedette/v1", "kind": "Scorer", "metadata": {"name": name, "project": project}, "spec": given}


@pytest.fixture
def settings(kafka: str, topic_prefix: str, tmp_path: Path) -> Settings:
    file = tmp_path / "admin"
    file.write_text(ADMIN + "\n")
    made = Settings(
        bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2, api_port=free_port(),
        bootstrap_admin_key_file=file, env_allow={"*": ["*"]}, private_networks=["127.0.0.0/8"],
    )  # fmt: skip
    topics.create(made)
    return made


@contextmanager
def running(settings: Settings) -> Iterator[Client]:
    api = Api(settings, Health())
    api.start()
    thread = threading.Thread(target=lambda: asyncio.run(api.serve()))
    thread.start()
    client = Client(f"http://127.0.0.1:{settings.api_port}", ADMIN)
    wait_for(client)
    try:
        yield client
    finally:
        api.stopping.set()
        thread.join(10)
        api.stop()


def wait_for(client: Client) -> None:
    for _ in range(100):
        try:
            client.get("/api/v1/openapi.json")
            return
        except ApiError as error:
            if error.status:
                raise
            time.sleep(0.05)
    raise AssertionError("the api does not answer")


def summary(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(d["project"], d["name"], d["result"]) for d in answer["documents"]]


def test_apply_is_in_effect_when_it_returns_and_diff_get_and_delete_agree(settings: Settings) -> None:
    feed = ConfigFeed(settings)
    feed.start()
    with running(settings) as api:
        answer = api.put("/api/v1/documents", [scorer("parcels")])
        version = answer["documents"][0]["version"]
        now = int(time.time() * 1000)
        assert {name: v.version for name, v in feed.confirmed().in_effect("Scorer", "default", now).items()} == {
            "parcels": version
        }
        assert summary(answer) == [("default", "parcels", "created")]
        assert summary(api.put("/api/v1/documents", [scorer("parcels")])) == [("default", "parcels", "unchanged")]
        assert api.post("/api/v1/documents/diff", [scorer("parcels")])["documents"][0]["diff"] == ""
        changed = api.post("/api/v1/documents/diff", [scorer("parcels", threshold=0.5)])["documents"][0]
        assert changed["result"] == "changed"
        assert "+  threshold: 0.5" in changed["diff"]
        got = api.get("/api/v1/documents", kind="scorers", name="parcels")["documents"]
        assert [one["document"]["spec"]["with"] for one in got] == [{"field": "output", "any": ["parcel"]}]
        assert summary(api.put("/api/v1/documents", [got[0]["document"]])) == [("default", "parcels", "unchanged")]
        assert api.delete("/api/v1/documents/Scorer/parcels")["result"] == "deleted"
        assert api.get("/api/v1/documents")["documents"] == []
        with pytest.raises(ApiError, match="there is no Scorer 'parcels' in project default") as missing:
            api.delete("/api/v1/documents/Scorer/parcels")
        assert missing.value.status == 404
    feed.stop()


def test_one_bad_document_keeps_all_others_out(settings: Settings) -> None:
    with running(settings) as api:
        with pytest.raises(ApiError, match=r"nothing was applied: document 2: spec\.type: no scorer type 'contians'"):
            api.put("/api/v1/documents", [scorer("good"), scorer("bad", type="contians")])
        assert api.get("/api/v1/documents")["documents"] == []


def test_a_silence_is_made_listed_and_ended_and_a_destination_tested_from_the_command_line(settings: Settings) -> None:
    with running(settings) as api, SmtpStandIn(admit=lambda to: "550 no" if to.startswith("b") else "250 OK") as smtp:
        env = {"VEDETTE_API_URL": api.url, "VEDETTE_ADMIN_KEY": ADMIN, "USER": "ada", "SUDO_USER": ""}

        def command(*words: str) -> Result:
            return CliRunner(env=env).invoke(app, words)

        given = ("--rule", "R", "--group", "agent=Clerk", "--reason", "upgrade", "--name", "night")
        assert command("silences", "create", *given).exit_code == 2  # no end
        made = command("silences", "create", *given, "--for", "2h")
        assert (made.exit_code, made.stdout) == (0, "night\n")
        assert "rule 'R' does not exist" in made.stderr
        (listed,) = orjson.loads(command("silences", "ls", "-o", "json").stdout)
        assert (listed["state"], listed["matches"], listed["by"]) == ("holds", "rule=R, agent=Clerk", "ada")
        assert command("silences", "expire", "night").exit_code == 0
        (listed,) = orjson.loads(command("silences", "ls", "-o", "json").stdout)
        assert listed["state"] == "over"
        assert command("silences", "expire", "day").exit_code == 1
        spec = {
            "type": "email",
            "to": ["a@x.org", "b@x.org"],
            "smtp": {"host": "127.0.0.1", "port": smtp.port, "tls": "none"},
        }
        wrong = {"apiVersion": "vedette/v1", "kind": "Destination", "metadata": {"name": "post"}, "spec": spec}
        with pytest.raises(ApiError, match=r"spec\.template\.text: line 2: undefined value"):
            api.put("/api/v1/documents", [{**wrong, "spec": {**spec, "template": {"text": "x\n{{ nobody }}"}}}])
        api.put("/api/v1/documents", [wrong])
        tested = command("send-test", "post", "-o", "json")
        assert (tested.exit_code, [one["state"] for one in orjson.loads(tested.stdout)]) == (1, ["sent", "failed"])
        assert "there is no destination 'gone'" in command("send-test", "gone").stderr


def test_two_projects_do_not_cross(settings: Settings) -> None:
    with running(settings) as admin:
        made = admin.post("/api/v1/keys", {"projects": ["a"], "scopes": ["admin"], "label": "team a"})
        team = Client(admin.url, made["key"])
        admin.put("/api/v1/documents", [scorer("same", "b"), scorer("only-b", "b")])
        nameless = scorer("same")
        del nameless["metadata"]["project"]
        assert summary(team.put("/api/v1/documents", [nameless])) == [("a", "same", "created")]
        for forbidden in (
            lambda: team.put("/api/v1/documents", [scorer("x", "b")]),
            lambda: team.get("/api/v1/documents", project="b"),
            lambda: team.delete("/api/v1/documents/Scorer/same", project="b"),
            lambda: team.post("/api/v1/keys", {"projects": ["b"], "scopes": ["read"]}),
            lambda: team.post("/api/v1/keys", {"all": True, "scopes": ["read"]}),
        ):
            with pytest.raises(ApiError, match="may use a, not project") as refused:
                forbidden()
            assert refused.value.status == 403
        assert [d["document"]["metadata"] for d in team.get("/api/v1/documents")["documents"]] == [
            {"name": "same", "project": "a"}
        ]
        assert [key["label"] for key in team.get("/api/v1/keys")["keys"]] == ["team a"]
        assert team.get("/api/v1/status") == {"projects": ["a"]}
        with pytest.raises(ApiError, match="there is no key"):
            team.delete(f"/api/v1/keys/{b'admin1'.hex()}")
        admin.delete(f"/api/v1/keys/{made['id']}")
        with pytest.raises(ApiError, match="unknown or revoked"):
            team.get("/api/v1/documents")


def test_concurrent_applies_all_hold_and_one_creates(settings: Settings) -> None:
    with running(settings) as api, ThreadPoolExecutor(12) as many:
        own = many.map(lambda n: api.put("/api/v1/documents", [scorer(f"own-{n}"), scorer("shared")]), range(12))
        results = [[d["result"] for d in answer["documents"]] for answer in own]
        assert sorted(results) == sorted([["created", "created"], *([["created", "unchanged"]] * 11)])
        assert len(api.get("/api/v1/documents")["documents"]) == 13


def test_a_restarted_api_knows_everything_and_registers_its_first_key_once(settings: Settings) -> None:
    with running(settings) as api:
        api.put("/api/v1/documents", [scorer("kept")])
        made = api.post("/api/v1/keys", {"all": True, "scopes": ["read"]})
        before = api.get("/api/v1/documents"), api.get("/api/v1/keys")
    with running(settings) as api:
        assert (api.get("/api/v1/documents"), api.get("/api/v1/keys")) == before
        assert Client(api.url, made["key"]).get("/api/v1/documents") == before[0]
        other = api.post("/api/v1/keys", {"all": True, "scopes": ["admin"]})["key"]
        api.delete(f"/api/v1/keys/{b'admin1'.hex()}")
    api_again = Api(settings, Health())
    api_again.start()
    assert [key for key in api_again.config.configuration.all_newest("Key", "") if key == b"admin1".hex()] == []
    assert len(other) == len(ADMIN)
    api_again.stop()


def test_alerts_are_read_from_kafka_and_listed_by_state_and_project(settings: Settings) -> None:
    def change(project: str, alert: str, number: int, state: Any) -> AlertChange:
        return AlertChange(
            project=project, rule="r", rule_version="v", alert_id=alert, change=number, state=state,
            kind="resolved" if state == "resolved" else "fired", fired_at=1, changed_at=10 + number,
        )  # fmt: skip

    producer = kafka_clients.producer(settings)
    schema_topic.publish(settings, producer, AlertChange)
    changes = [
        change("p", "open", 0, "firing"), change("p", "done", 0, "firing"), change("p", "done", 1, "resolved"),
        change("q", "other", 0, "firing"),
    ]  # fmt: skip
    for one in changes:
        topic = kafka_clients.topic_name(settings, Topic.ALERTS)
        producer.produce(topic, key=record_key(one.project, one.rule, []), value=encode(one))
    producer.flush(10)
    with running(settings) as api:
        deadline = time.monotonic() + 20
        told: dict[str, list[str]] = {}
        while told != EXPECTED and time.monotonic() < deadline:
            told = {state: ids(api.get("/api/v1/alerts", state=state)) for state in ("all", "open", "resolved")}
            time.sleep(0.1)
        assert told == EXPECTED
        assert ids(api.get("/api/v1/alerts", project="q")) == ["other"]
        with pytest.raises(ApiError, match="'burning' is no state"):
            api.get("/api/v1/alerts", state="burning")
        status = api.get("/api/v1/status")
        assert status["projects"] == ["default", "p", "q"]
        assert status["topics"][f"{settings.topic_prefix}vedette.alerts"] == {"partitions": 2, "records": 4}


def ids(answer: dict[str, Any]) -> list[str]:
    return [alert["alert_id"] for alert in answer["alerts"]]


def test_every_endpoint_asks_every_key_for_its_scope_and_project(settings: Settings) -> None:
    with running(settings) as api:
        api.put("/api/v1/documents", [scorer("s", "a"), scorer("s", "b")])
        scopes = {"ingest": ["ingest"], "read": ["read"], "read of a": ["read"], "admin of a": ["admin"]}
        made = {
            name: api.post("/api/v1/keys", {"projects": ["a"] if name.endswith("of a") else [], "scopes": some})
            for name, some in scopes.items()
        }
        revoked = api.post("/api/v1/keys", {"scopes": ["admin"]})
        api.delete(f"/api/v1/keys/{revoked['id']}")
        keys = {"nobody": "", "nonsense": "vd_x", "revoked": revoked["key"]}
        keys |= {name: key["key"] for name, key in made.items()} | {"admin": ADMIN}
        victim = made["ingest"]["id"]
        calls: dict[str, tuple[str, str, Any]] = {
            "apply to a": ("PUT", "/api/v1/documents", [scorer("s", "a")]),
            "apply to b": ("PUT", "/api/v1/documents", [scorer("s", "b")]),
            "apply to both": ("PUT", "/api/v1/documents", [scorer("s", "a"), scorer("s", "b")]),
            "diff of b": ("POST", "/api/v1/documents/diff", [scorer("s", "b")]),
            "list": ("GET", "/api/v1/documents", None),
            "list b": ("GET", "/api/v1/documents?project=b", None),
            "delete what is not there": ("DELETE", "/api/v1/documents/Scorer/none?project=a", None),
            "delete in b": ("DELETE", "/api/v1/documents/Scorer/s?project=b", None),
            "make a key for b": ("POST", "/api/v1/keys", {"projects": ["b"], "scopes": []}),
            "list keys": ("GET", "/api/v1/keys", None),
            "revoke another's key": ("DELETE", f"/api/v1/keys/{victim}x", None),
            "alerts": ("GET", "/api/v1/alerts", None),
            "alerts of b": ("GET", "/api/v1/alerts?project=b", None),
            "resolve what is not there": ("POST", "/api/v1/alerts/none/resolve", {"note": "over"}),
            "status": ("GET", "/api/v1/status", None),
            "openapi": ("GET", "/api/v1/openapi.json", None),
            "no such path": ("GET", "/api/v1/nonsense", None),
        }
        unknown = dict.fromkeys(("nobody", "nonsense", "revoked"), 401)
        reads, writes = {**unknown, "ingest": 403}, {**unknown, "ingest": 403, "read": 403, "read of a": 403}
        expected = {
            "apply to a": {**writes, "admin of a": 200, "admin": 200},
            "apply to b": {**writes, "admin of a": 403, "admin": 200},
            "apply to both": {**writes, "admin of a": 403, "admin": 200},
            "diff of b": {**writes, "admin of a": 403, "admin": 200},
            "list": {**reads, "read": 200, "read of a": 200, "admin of a": 200, "admin": 200},
            "list b": {**reads, "read": 200, "read of a": 403, "admin of a": 403, "admin": 200},
            "delete what is not there": {**writes, "admin of a": 404, "admin": 404},
            "delete in b": {**writes, "admin of a": 403, "admin": 200},
            "make a key for b": {**writes, "admin of a": 400, "admin": 400},
            "list keys": {**writes, "admin of a": 200, "admin": 200},
            "revoke another's key": {**writes, "admin of a": 404, "admin": 404},
            "alerts": {**reads, "read": 200, "read of a": 200, "admin of a": 200, "admin": 200},
            "alerts of b": {**reads, "read": 200, "read of a": 403, "admin of a": 403, "admin": 200},
            "resolve what is not there": {**writes, "admin of a": 404, "admin": 404},
            "status": {**reads, "read": 200, "read of a": 200, "admin of a": 200, "admin": 200},
            "openapi": {**reads, "read": 200, "read of a": 200, "admin of a": 200, "admin": 200},
            "no such path": dict.fromkeys(keys, 404),
        }
        told = {
            name: {who: status_of(Client(api.url, key), *call) for who, key in keys.items()}
            for name, call in calls.items()
        }
        assert told == expected


def status_of(client: Client, method: str, path: str, body: Any) -> int:
    ask = {"GET": client.get, "DELETE": client.delete}
    send = {"PUT": client.put, "POST": client.post}
    try:
        ask[method](path) if body is None else send[method](path, body)
    except ApiError as error:
        return error.status if {"error", "message"} <= set(error.body) else -1
    return 200


def test_bodies_that_are_wrong_are_refused_with_their_place(settings: Settings) -> None:
    with running(settings) as api:
        told = []
        for path, body in (
            ("/api/v1/documents/diff", {"not": "a list"}),
            ("/api/v1/keys", {"scopes": ["everything"]}),
            ("/api/v1/keys", {"scopes": ["read"], "project": ["a"]}),
        ):
            with pytest.raises(ApiError) as error:
                api.post(path, body)
            told.append((error.value.status, error.value.body["error"], error.value.body["message"]))
        assert told == [
            (400, "invalid_body", "the body: Input should be a valid list"),
            (400, "invalid_body", "scopes.0: Input should be 'ingest', 'read', 'develop', 'upload' or 'admin'"),
            (400, "invalid_body", "project: Extra inputs are not permitted"),
        ]
        paths = api.get("/api/v1/openapi.json")["paths"]
        assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == {
            (endpoint.method, endpoint.path) for endpoint in ENDPOINTS
        }
