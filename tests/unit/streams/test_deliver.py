"""Planning and telling, without Kafka: the real sinks against real servers."""

import time

import pytest

from schemas.alert import AlertChange
from schemas.config import ConfigEntry
from schemas.delivery import Delivery
from schemas.documents.base import canonical_spec
from schemas.topics import Topic
from sinks.sink import Permanent
from sinks.testing import ACKNOWLEDGED, FIRED, RESOLVED, RULE
from streams.deliver import Planner
from streams.local.standins import SlackCall, SlackReply, SlackStandIn, SmtpStandIn, slack_reply
from streams.logic import delivery as deliveries
from streams.logic.configuration import Configuration
from streams.logic.ledger import Ledger
from streams.records import Received
from streams.settings import Settings
from streams.tell import Teller, now_ms

PROJECT = "default"


def configured(
    slack_url: str = "http://127.0.0.1:1/api/", mail: bytes = b'{"type":"email","to":["a@x.org"]}'
) -> Configuration:
    slack = b'{"type":"slack","token":{"env":"SLACK"},"channel":"#agents","base_url":"%s"}' % slack_url.encode()
    documents = [
        ("Rule", FIRED.rule, FIRED.rule_version, canonical_spec(RULE)),
        ("Destination", "oncall-slack", "1", slack),
        ("Destination", "oncall-mail", "1", mail),
    ]
    configuration = Configuration()
    for kind, name, version, spec in documents:
        configuration.apply(ConfigEntry(project=PROJECT, kind=kind, name=name, version=version, spec=spec), 0)
    return configuration


def received(change: AlertChange, appended_at: int) -> Received:
    return Received(Topic.ALERTS, 0, 0, appended_at, b"", b"", {}, change)


def entry(destination: str, recipient: str, change: AlertChange = FIRED) -> Delivery:
    return Delivery(
        project=PROJECT, destination=destination, alert_id=change.alert_id, change=change.change, recipient=recipient,
        state="pending", planned_at=now_ms(), alert=change,
    )  # fmt: skip


def teller(configuration: Configuration, attempt_s: float = 15, smtp_url: str = "") -> Teller:
    given = {
        "env_allow": {"*": ["*"]},
        "private_networks": ["127.0.0.0/8"],
        **({"smtp_url": smtp_url} if smtp_url else {}),
    }
    return Teller(Settings.model_validate(given), lambda: configuration, attempt_s)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK", "xoxb-1")


def test_a_change_is_planned_for_everybody_whom_its_rule_names() -> None:
    configuration = configured()
    outs = list(Planner(lambda: configuration, 4).deliveries([received(FIRED, now_ms())]))
    entries = [out.value for out in outs if isinstance(out.value, Delivery)]
    assert [(one.destination, one.recipient, one.alert) for one in entries] == [
        ("oncall-slack", "#agents", FIRED),
        ("oncall-mail", "a@x.org", FIRED),
        ("email", "me@example.com", FIRED),
    ]
    assert [(out.key, out.partition) for out in outs] == [
        (deliveries.key(one), deliveries.partition(one, 4)) for one in entries
    ]


def test_an_alert_that_another_rule_may_keep_quiet_waits_for_that_rules_alert() -> None:
    configuration = configured()
    outage = canonical_spec(RULE.model_copy(update={"inhibits": (FIRED.rule,)}))
    configuration.apply(ConfigEntry(project=PROJECT, kind="Rule", name="Outage", version="1", spec=outage), 0)
    for change, wait_ms in ((FIRED, deliveries.INHIBITION_MS), (RESOLVED, 0)):
        for out in Planner(lambda: configuration, 4).deliveries([received(change, now_ms())]):
            assert isinstance(out.value, Delivery)
            assert out.value.due_at - out.value.planned_at == wait_ms


def test_a_deleted_rules_alert_is_planned_by_the_rule_as_it_was_when_it_fired() -> None:
    configuration = configured()
    gone = ConfigEntry(project=PROJECT, kind="Rule", name=FIRED.rule, version="", deleted=True)
    configuration.apply(gone, RESOLVED.changed_at)
    change = RESOLVED.model_copy(update={"rule_version": ""})
    assert len(list(Planner(lambda: configuration, 4).deliveries([received(change, now_ms())]))) == 3


def test_a_change_of_a_rule_that_never_was_is_refused_and_a_forgotten_one_left_out() -> None:
    planner = Planner(configured, 4)
    with pytest.raises(Permanent, match="rule 'other' of project 'default' has no version"):
        list(planner.deliveries([received(FIRED.model_copy(update={"rule": "other"}), now_ms())]))
    assert list(planner.deliveries([received(FIRED, now_ms() - deliveries.FORGET_AFTER_MS)])) == []


async def test_what_was_told_is_sent_with_its_reference() -> None:
    with SlackStandIn() as slack, SmtpStandIn() as smtp:
        tell = teller(configured(slack.url), smtp_url=f"smtp://127.0.0.1:{smtp.port}?tls=none")
        [told], pause_s = await tell(entry("oncall-slack", "#agents"), Ledger())
        [mailed], _ = await tell(entry("email", "me@example.com"), Ledger())
    assert (told.state, told.reference, told.attempts, pause_s) == ("sent", f"#agents,{slack.calls[0].ts}", 1, 0)
    assert (mailed.state, [mail.recipients for mail in smtp.mails]) == ("sent", [("me@example.com",)])


async def test_each_failure_becomes_the_entrys_next_state() -> None:
    tell = teller(configured())
    [gone], _ = await tell(entry("gone", ""), Ledger())
    [absent], _ = await tell(entry("oncall-slack", "#agents"), Ledger())
    [edit], _ = await tell(entry("oncall-mail", "a@x.org", ACKNOWLEDGED), Ledger())
    assert (gone.state, gone.reason) == (
        "failed",
        "destination 'gone' does not exist: create it or remove it from the rule",
    )
    assert (absent.state, absent.attempts) == ("pending", 1)
    assert absent.reason.startswith("Slack cannot be reached: ClientConnector")
    assert edit.state == "suppressed"
    [damaged], _ = await tell(entry("oncall-slack", "#agents").model_copy(update={"alert": None}), Ledger())
    assert (damaged.state, damaged.reason) == ("failed", "the ledger's entry lacks its alert change")


async def test_a_destination_that_asks_for_time_gets_it() -> None:
    slow_down = SlackReply({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "30"})
    with SlackStandIn(respond=lambda _: slow_down) as slack:
        [told], pause_s = await teller(configured(slack.url))(entry("oncall-slack", "#agents"), Ledger())
    assert (told.state, told.due_at - told.changed_at, pause_s) == ("pending", 30_000, 30)


async def test_an_attempt_ends_in_time() -> None:
    def slow(call: SlackCall) -> SlackReply:
        time.sleep(1)
        return slack_reply(call)

    with SlackStandIn(respond=slow) as slack:
        [told], _ = await teller(configured(slack.url), attempt_s=0.2)(entry("oncall-slack", "#agents"), Ledger())
    assert (told.state, told.reason) == ("pending", "no answer within 0.2 s")


async def test_a_mistake_of_ours_is_tried_again_and_shows_no_details() -> None:
    def broken() -> Configuration:
        raise LookupError("secret")

    [told], _ = await Teller(Settings(), broken)(entry("oncall-slack", "#agents"), Ledger())
    assert (told.state, told.reason) == ("pending", "unexpected LookupError; the job's log has the details")
