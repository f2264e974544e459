"""What people tell alerts, from the command line to the counter and back, on a real Kafka."""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.alert import AlertChange
from schemas.documents.key import new_key
from schemas.ids import record_key
from schemas.rule import Evaluated, RuleEvent
from schemas.topics import Topic
from streams.api import commands
from streams.api.job import Api
from streams.cli.app import app
from streams.cli.client import ApiError, Client
from streams.local.ports import free_port
from streams.observe import Health
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

ADMIN = new_key(b"s" * 32, b"admin1")
RULE = {"when": {"all": [{"scorer": "S", "is": "fails"}]}, "group_by": ["agent"], "cooldown": "30m"}


@pytest.fixture
def api(installation: Installation, tmp_path: Path) -> Iterator[Client]:
    file = tmp_path / "admin"
    file.write_text(ADMIN + "\n")
    given = {"api_port": free_port(), "bootstrap_admin_key_file": file}
    job = Api(installation.settings.model_copy(update=given), Health())
    job.start()
    thread = threading.Thread(target=lambda: asyncio.run(job.serve()))
    thread.start()
    client = Client(f"http://127.0.0.1:{given['api_port']}", ADMIN)
    installation.until(lambda: answers(client))
    yield client
    job.stopping.set()
    thread.join(10)
    job.stop()


def answers(client: Client) -> bool:
    try:
        return bool(client.get("/api/v1/openapi.json"))
    except ApiError:
        return False


def fire(installation: Installation, version: str, agent: str) -> None:
    one = Evaluated(subject_kind="example", subject_id=agent, ingested_at=time.time_ns() // 1_000_000)
    event = RuleEvent(
        project="default",
        rule="R",
        rule_version=version,
        group=(agent,),
        group_key=f'{{"agent":"{agent}"}}',
        evaluated=(one,),
    )
    installation.put(Topic.RULE_EVENTS, record_key("default", "R", (agent,)), event)
    installation.flush()


def test_acknowledge_snooze_and_resolve(
    installation: Installation, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = installation.configure("Rule", "R", RULE)
    installation.in_effect()
    (counter,) = installation.start("count")
    for agent in ("ann", "bob"):
        fire(installation, version, agent)
    installation.until(lambda: len(api.get("/api/v1/alerts")["alerts"]) == 2, every_s=0.05)
    ids = {alert["group"][0]: alert["alert_id"] for alert in api.get("/api/v1/alerts")["alerts"]}

    monkeypatch.setenv("VEDETTE_API_URL", api.url)
    monkeypatch.setenv("VEDETTE_ADMIN_KEY", ADMIN)
    monkeypatch.setenv("USER", "ann")
    monkeypatch.delenv("SUDO_USER", raising=False)

    def vedette(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["alerts", *arguments])
        return done.exit_code, done.stderr.strip()

    assert vedette("ack", ids["ann"], "--note", "on it") == (0, 'acknowledged: R {"agent":"ann"}')
    assert vedette("ack", ids["ann"]) == (1, f"alert {ids['ann']} is acknowledged already")
    code, told = vedette("snooze", ids["ann"], "--for", "2h")
    assert (code, told[:20]) == (0, "snoozed until 20" + told[16:20])
    assert vedette("snooze", ids["ann"], "--for", "soon")[0] == 1
    assert vedette("resolve", ids["ann"]) == (0, 'resolved: R {"agent":"ann"}')
    assert vedette("resolve", ids["ann"]) == (1, f"alert {ids['ann']} is resolved: resolved by ann (key 61646d696e31)")
    assert vedette("resolve", "nonsense")[0] == 1

    changes = [one for one in installation.records(Topic.ALERTS, AlertChange) if one.alert_id == ids["ann"]]
    assert [(one.change, one.kind, one.state, one.by) for one in changes] == [
        (0, "fired", "firing", ""),
        (1, "acknowledged", "acknowledged", "ann (key 61646d696e31)"),
        (2, "snoozed", "acknowledged", "ann (key 61646d696e31)"),
        (3, "resolved", "resolved", "ann (key 61646d696e31)"),
    ]
    assert changes[1].cause == "on it"

    reader = Client(api.url, api.post("/api/v1/keys", {"scopes": ["read"]})["key"])
    elsewhere = Client(api.url, api.post("/api/v1/keys", {"projects": ["globex"], "scopes": ["develop"]})["key"])
    for client, status in ((reader, 403), (elsewhere, 404)):
        with pytest.raises(ApiError) as refused:
            client.post(f"/api/v1/alerts/{ids['bob']}/resolve", {})
        assert refused.value.status == status

    counter.process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(commands, "ANSWER_WITHIN_S", 0.3)
    path = f"/api/v1/alerts/{ids['bob']}/acknowledge"
    accepted = [api.post(path, {"by": "bob"}) for _ in range(2)]  # nobody knows whether the first one was heard
    assert [(one["result"], "job count" in one["message"]) for one in accepted] == [("accepted", True)] * 2
    counter.process.send_signal(signal.SIGCONT)
    installation.until(lambda: [a["state"] for a in api.get("/api/v1/alerts")["alerts"]] == ["acknowledged"])
    changes = [one for one in installation.records(Topic.ALERTS, AlertChange) if one.alert_id == ids["bob"]]
    assert [(one.kind, one.by) for one in changes][:2] == [("fired", ""), ("acknowledged", "bob (key 61646d696e31)")]
    assert len({one.change for one in changes}) == 2
