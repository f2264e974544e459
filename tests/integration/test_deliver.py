"""The whole job as a process, on a real Kafka: told at least once, terminal once, whenever it is killed."""

import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from schemas.documents.silence import SilenceSpec
from sinks.testing import FIRED, RENOTIFIED, RESOLVED
from streams.local.standins import SlackCall, SlackReply, SlackStandIn, SmtpStandIn, slack_reply
from streams.settings import Settings
from tests.support.deliver import PATIENCE_S, Deliver

pytestmark = pytest.mark.integration


@pytest.fixture
def installation(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deliver]:
    settings = Settings(
        bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2,
        env_allow={"*": ["SLACK"]}, private_networks=["127.0.0.0/8"],
    )  # fmt: skip
    deliver = Deliver(settings, tmp_path / "deliver.log")
    yield deliver
    deliver.stop()


def test_an_alert_is_told_to_everybody_from_its_firing_to_its_end(installation: Deliver, topic_prefix: str) -> None:
    with SlackStandIn() as slack, SmtpStandIn() as smtp:
        mail = {
            "type": "email",
            "to": ["a@x.org", "b@x.org"],
            "smtp": {"host": "127.0.0.1", "port": smtp.port, "tls": "none"},
        }
        installation.slack("oncall-slack", slack)
        installation.configure("Destination", "oncall-mail", "1", orjson.dumps(mail))
        installation.rule({"notify": "oncall-slack"}, {"notify": "oncall-mail"}, {"notify": "gone"})
        installation.alert(FIRED, RENOTIFIED, RESOLVED)
        process = installation.start()
        installation.until(lambda: len(installation.states()) == 12 and "pending" not in installation.states().values())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    expected = {}
    for change in (FIRED, RENOTIFIED, RESOLVED):
        expected[("oncall-slack", "#oncall-slack", change.change)] = "sent"
        expected[("oncall-mail", "a@x.org", change.change)] = "sent"
        expected[("oncall-mail", "b@x.org", change.change)] = "sent"
        expected[("gone", "", change.change)] = "failed"
    assert installation.states() == expected
    assert [call.method for call in slack.calls] == [
        "chat.postMessage",
        *("chat.update", "chat.postMessage"),
        *("chat.update", "chat.postMessage"),
    ]
    assert {call.arguments.get("thread_ts", slack.calls[0].ts) for call in slack.calls} == {slack.calls[0].ts}
    assert sorted(mail.recipients for mail in smtp.mails) == sorted([("a@x.org",), ("b@x.org",)] * 3)


def test_killed_between_slack_and_the_ledger_it_tells_again_and_the_ledger_ends_once(installation: Deliver) -> None:
    killed = threading.Event()

    def kill_then_answer(call: SlackCall) -> SlackReply:
        if not killed.is_set():
            process.kill()
            killed.set()
        return slack_reply(call)

    with SlackStandIn(respond=kill_then_answer) as slack:
        installation.slack("oncall-slack", slack)
        installation.rule({"notify": "oncall-slack"})
        installation.alert(FIRED)
        process = installation.start()
        assert killed.wait(PATIENCE_S), installation.log.read_text()
        process.wait(10)
        assert installation.states() == {("oncall-slack", "#oncall-slack", 0): "pending"}
        installation.start()
        installation.until(lambda: set(installation.states().values()) == {"sent"})
        installation.alert(FIRED)  # the planner meets it again, as after a crash before its commit
        installation.until(lambda: len(installation.history()) >= 4)
        history = [entry for _, entry in installation.history()]
    first, again = slack.calls
    assert first.arguments["metadata"] == again.arguments["metadata"]
    assert [entry.state for entry in history] == ["pending", "sent", "pending", "sent"]
    assert history[1] == history[3]  # written again, for compaction keeps the newest


def test_a_hanging_destination_delays_nobody_else(installation: Deliver) -> None:
    release = threading.Event()

    def hang(call: SlackCall) -> SlackReply:
        release.wait(30)
        return slack_reply(call)

    with SlackStandIn(respond=hang) as hanging, SlackStandIn() as quick:
        installation.slack("hanging", hanging)
        installation.slack("quick", quick)
        installation.rule({"notify": "hanging"}, {"notify": "quick"})
        installation.start()
        installation.alert(FIRED)
        installation.until(lambda: len(quick.calls) == 1)
        installation.alert(RESOLVED)
        installation.until(lambda: len(quick.calls) == 3)
        assert hanging.calls == []  # its first call has not been answered yet
        release.set()
        installation.until(lambda: len(hanging.calls) >= 3)


def test_two_processes_share_the_destinations_and_one_takes_over_from_the_other(installation: Deliver) -> None:
    names = [f"d{n}" for n in range(8)]
    with SlackStandIn() as slack:
        for name in names:
            installation.slack(name, slack)
        installation.rule(*({"notify": name} for name in names))
        one = installation.start()
        installation.alert(FIRED)
        installation.until(lambda: list(installation.states().values()) == ["sent"] * 8)
        installation.start()
        time.sleep(5)  # a rebalance
        installation.alert(RENOTIFIED)
        installation.until(lambda: list(installation.states().values()) == ["sent"] * 16)
        one.send_signal(signal.SIGTERM)
        assert one.wait(20) == 0
        installation.alert(RESOLVED)
        installation.until(lambda: list(installation.states().values()) == ["sent"] * 24)
    assert len(slack.calls) == 8 * 5
    assert "ledger record skipped" not in installation.log.read_text()


def test_a_silenced_alert_is_told_when_the_silence_ends_though_the_process_began_anew(installation: Deliver) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    silence = SilenceSpec.model_validate({"rule": FIRED.rule, "ends": ends, "reason": "maintenance"})
    with SlackStandIn() as slack:
        installation.slack("oncall-slack", slack)
        installation.rule({"notify": "oncall-slack"})
        installation.configure("Silence", "night", "1", silence.model_dump_json().encode())
        process = installation.start()
        installation.alert(FIRED)
        installation.until(lambda: list(installation.states().values()) == ["suppressed"])
        process.terminate()
        process.wait(20)
        installation.alert(RENOTIFIED)
        installation.start()
        installation.until(lambda: list(installation.states().values()) == ["suppressed"] * 2)
        assert slack.calls == []
        over = silence.model_copy(update={"ends": datetime.now(UTC)})
        installation.configure("Silence", "night", "2", over.model_dump_json().encode())
        installation.until(lambda: sorted(installation.states().values()) == ["sent", "suppressed"])
    assert len(slack.calls) == 1
    fired, renotified = sorted(installation.newest_of_all(), key=lambda entry: entry.change)
    assert fired.reason.endswith("maintenance; then the alert was renotified")
    assert (renotified.state, renotified.kept_quiet) == ("sent", fired.reason.partition("; then")[0])
    assert slack.calls[0].arguments["text"].startswith("Still firing")


@pytest.mark.faults
def test_killed_again_and_again_it_tells_every_change_in_order(installation: Deliver) -> None:
    names = [f"d{n}" for n in range(6)]
    alerts = [f"alert-{n}" for n in range(30)]

    def slow(call: SlackCall) -> SlackReply:
        time.sleep(0.1)  # so that each kill meets something in flight
        return slack_reply(call)

    with SlackStandIn(respond=slow) as slack:
        for name in names:
            installation.slack(name, slack)
        installation.rule(*({"notify": name} for name in names))
        for change in (FIRED, RENOTIFIED, RESOLVED):
            installation.alert(*(change.model_copy(update={"alert_id": alert}) for alert in alerts))
        for seconds in (3.0, 14.0, 13.3, 14.7):
            process = installation.start()
            time.sleep(seconds)
            process.kill()
            process.wait(10)
        installation.start()
        expected = len(names) * len(alerts) * 3
        a_message_a_second = len(alerts) * 3 + PATIENCE_S
        installation.until(
            lambda: sorted(installation.states_of_all().values()) == ["sent"] * expected, a_message_a_second
        )
    told: dict[tuple[str, str], list[int]] = {}
    for call in slack.calls:
        if call.method == "chat.postMessage":
            payload = call.arguments["metadata"]["event_payload"]
            told.setdefault((call.arguments["channel"], payload["alert_id"]), []).append(payload["change"])
    assert len(told) == len(names) * len(alerts)
    for changes in told.values():
        assert changes == sorted(changes)
        assert set(changes) == {0, 1, 3}
    repeated = sum(map(len, told.values())) - expected
    assert 0 < repeated <= 4 * len(names)  # at most what was in flight at each kill
