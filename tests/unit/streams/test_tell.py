"""Telling, and not telling, without Kafka: the real sinks against real servers, and a ledger that is written back."""

import asyncio
import itertools
import time
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from typing import cast

import orjson
import pytest

from schemas.alert import AlertChange
from schemas.config import ConfigEntry
from schemas.delivery import Delivery
from schemas.documents.base import canonical_spec
from schemas.documents.rule import RuleSpec
from sinks.testing import ACKNOWLEDGED, FIRED, RESOLVED, RULE
from streams.api.alerts import Alerts
from streams.local.standins import SlackStandIn, SmtpStandIn
from streams.logic import delivery as deliveries
from streams.logic.configuration import Configuration
from streams.logic.ledger import Ledger
from streams.settings import Settings
from streams.tell import Teller, now_ms
from tests.support.receiver import Receiver, pagerduty_reply

PLACE = "default"
SNOOZED = FIRED.model_copy(update={"change": 1, "kind": "snoozed", "by": "ada"})


class World:
    """Configuration, alerts and one partition's ledger; whatever is decided is written back."""

    def __init__(self) -> None:
        self.configuration, self.alerts, self.ledger = Configuration(), Alerts(), Ledger()
        settings = Settings(env_allow={"*": ["*"]}, private_networks=["127.0.0.0/8"])
        self.teller = Teller(settings, lambda: self.configuration, alerts=self.alerts)
        self._versions = itertools.count()
        self.rule(RULE)

    def configure(self, kind: str, name: str, spec: bytes, version: str = "") -> None:
        version = version or str(next(self._versions))
        self.configuration.apply(ConfigEntry(project=PLACE, kind=kind, name=name, version=version, spec=spec), 0)

    def rule(self, spec: RuleSpec, name: str = FIRED.rule) -> None:
        self.configure("Rule", name, canonical_spec(spec), FIRED.rule_version)

    def destination(self, name: str, **spec: object) -> None:
        self.configure("Destination", name, orjson.dumps(spec))

    def plan(self, change: AlertChange, destination: str, recipient: str, planned_at: int = 0) -> None:
        self.alerts.take(change)
        planned_at = planned_at or now_ms()
        entry = Delivery(
            project=PLACE, destination=destination, alert_id=change.alert_id, change=change.change, recipient=recipient,
            state="pending", rule=change.rule, group_key=change.group_key, planned_at=planned_at, due_at=planned_at, alert=change,
        )  # fmt: skip
        self.write(entry)

    def write(self, *entries: Delivery) -> None:
        for entry in entries:
            self.ledger.apply(deliveries.key(entry), entry)

    async def tell(self, destination: str) -> list[Delivery]:
        entry = self.ledger.next((PLACE, destination))
        assert entry is not None
        outcomes, _ = await self.teller(entry, self.ledger)
        self.write(*outcomes)
        return outcomes

    async def review(self) -> list[Delivery]:
        reviewed = await self.teller.review(self.ledger.held())
        self.write(*reviewed)
        return reviewed


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("SLACK", "xoxb-1")
    monkeypatch.setenv("PD", "p" * 32)
    return World()


def slack(world: World, server: SlackStandIn, name: str = "s", **more: object) -> None:
    world.destination(name, type="slack", token={"env": "SLACK"}, channel="#a", base_url=server.url, **more)


def mail(world: World, server: SmtpStandIn, **more: object) -> None:
    smtp = {"host": "127.0.0.1", "port": server.port, "tls": "none"}
    world.destination("m", type="email", to=["a@x.org", "b@x.org"], smtp=smtp, **{"from": "v@x.org"}, **more)


def read(text: str) -> EmailMessage:
    return cast("EmailMessage", message_from_string(text, policy=default))


async def test_a_snoozed_alert_is_told_again_when_the_snooze_ends_and_it_still_fires(world: World) -> None:
    with SlackStandIn() as server:
        slack(world, server)
        world.plan(FIRED, "s", "#a")
        await world.tell("s")
        until = now_ms() + 1500
        world.plan(SNOOZED.model_copy(update={"until": until}), "s", "#a")
        [held] = await world.tell("s")
        assert (held.state, held.reason, held.due_at) == ("suppressed", "the alert is snoozed", until)
        assert [call.method for call in server.calls] == [
            "chat.postMessage",
            "chat.update",
        ]  # the snooze itself is shown
        await asyncio.sleep((until - now_ms()) / 1000 + 0.01)
        [due] = await world.review()
        [told] = await world.tell("s")
    assert (due.state, told.state, told.kept_quiet) == ("pending", "sent", "the alert is snoozed")
    assert [call.method for call in server.calls[2:]] == ["chat.update", "chat.postMessage"]
    assert server.calls[-1].arguments["text"].startswith("Still firing")


async def test_a_snoozed_alert_that_somebody_took_or_that_ended_is_not_told_again(world: World) -> None:
    for change in (ACKNOWLEDGED, RESOLVED):
        with SmtpStandIn() as server:
            mail(world, server)
            snoozed = SNOOZED.model_copy(update={"until": now_ms() + 60_000, "alert_id": change.kind})
            world.plan(snoozed, "m", "a@x.org")
            [held] = await world.tell("m")
            assert held.reason == "the alert is snoozed"
            world.alerts.take(change.model_copy(update={"alert_id": change.kind}))
            [over] = await world.review()
        assert (over.state, over.reason) == ("suppressed", f"the alert is snoozed; then the alert was {change.kind}")
        assert server.mails == []
        assert world.ledger.held() == []


async def test_an_inhibited_alert_is_told_when_the_other_rules_alert_resolves(world: World) -> None:
    world.rule(RULE.model_copy(update={"inhibits": (FIRED.rule,)}), "Outage")
    outage = FIRED.model_copy(update={"rule": "Outage", "alert_id": "outage", "group_key": "{}"})
    with SlackStandIn() as server:
        slack(world, server)
        world.alerts.take(outage)
        world.plan(FIRED, "s", "#a")
        [held] = await world.tell("s")
        assert (held.state, held.reason) == ("suppressed", "an alert of rule 'Outage' is open")
        assert await world.review() == []
        world.alerts.take(outage.model_copy(update={"change": 1, "kind": "resolved", "state": "resolved"}))
        await world.review()
        [told] = await world.tell("s")
    assert (told.state, told.reason) == ("sent", "told late: an alert of rule 'Outage' is open")
    assert len(server.calls) == 1


async def test_an_alert_that_ends_while_it_is_quiet_is_never_told(world: World) -> None:
    silence = {"rule": FIRED.rule, "ends": "2999-01-01T00:00:00Z", "reason": "maintenance"}
    world.configure("Silence", "night", orjson.dumps(silence))
    with SlackStandIn() as server:
        slack(world, server)
        world.plan(FIRED, "s", "#a")
        await world.tell("s")
        world.plan(RESOLVED, "s", "#a")
        [resolved] = await world.tell("s")
        [fired] = await world.review()
    assert resolved.reason == "it resolved before anybody was told that it fired"
    assert fired.reason.endswith("maintenance; then the alert was resolved")
    assert server.calls == []


async def test_the_end_of_an_alert_that_was_told_is_told_though_it_is_quiet(world: World) -> None:
    with SlackStandIn() as server:
        slack(world, server)
        world.plan(FIRED, "s", "#a")
        await world.tell("s")
        silence = {"rule": FIRED.rule, "ends": "2999-01-01T00:00:00Z", "reason": "maintenance"}
        world.configure("Silence", "night", orjson.dumps(silence))
        world.plan(RESOLVED, "s", "#a")
        [resolved] = await world.tell("s")
    assert resolved.state == "sent"


async def test_above_the_limit_mail_is_gathered_and_nothing_is_lost(world: World) -> None:
    with SmtpStandIn() as server:
        mail(world, server, digest_above=2)
        for n in range(5):
            world.plan(FIRED.model_copy(update={"alert_id": f"alert-{n}", "rule": FIRED.rule}), "m", "a@x.org")
        world.plan(FIRED.model_copy(update={"alert_id": "other"}), "m", "b@x.org")
        first = [(await world.tell("m"))[0] for _ in range(6)]
        assert sorted(one.state for one in first) == ["pending"] * 3 + ["sent"] * 3  # b@x.org has a count of its own
        gathered = [one for one in first if one.state == "pending"]
        assert {one.reason for one in gathered} == {"gathered: too many mails went within the hour"}
        assert {one.due_at - one.planned_at for one in gathered} == {deliveries.DIGEST_MS}
        for one in gathered:  # a quarter of an hour later
            past = one.planned_at - deliveries.DIGEST_MS
            world.write(one.model_copy(update={"planned_at": past, "due_at": 0, "looks": 9}))
        told = await world.tell("m")
    assert [(one.state, one.reason) for one in told] == [("sent", "in a digest of 3")] * 3
    assert len({one.reference for one in told}) == 1
    assert world.ledger.next((PLACE, "m")) is None
    digest = read(server.mails[-1].text)
    assert (len(server.mails), digest["Subject"], digest["To"]) == (4, "[default] 3 alert changes", "a@x.org")
    body = digest.get_body(("plain",))
    assert body is not None
    assert [f"alert-{n}" in body.get_content() for n in range(5)] == [n >= 2 for n in range(5)]


async def test_a_template_that_fails_is_noted_and_the_standard_message_goes(world: World) -> None:
    with SlackStandIn() as server:
        slack(world, server, template={"subject": "{{ group.nobody }}"})
        world.plan(FIRED, "s", "#a")
        [told] = await world.tell("s")
    assert told.state == "sent"
    assert told.reason.startswith(
        "the template failed, so the standard message was sent: subject: line 1: undefined value"
    )
    assert server.calls[0].arguments["text"].startswith("Firing: ")


async def test_a_channel_gets_one_message_a_second_however_many_destinations_name_it(world: World) -> None:
    with SlackStandIn() as server:
        for name in ("one", "two"):
            slack(world, server, name)
            world.plan(FIRED, name, "#a")
        began = time.monotonic()
        await asyncio.gather(world.tell("one"), world.tell("two"))
    assert time.monotonic() - began >= 1
    assert len(server.calls) == 2


async def test_a_late_end_does_not_close_the_incident_of_a_newer_alert(world: World) -> None:
    with Receiver(pagerduty_reply) as server:
        world.destination("p", type="pagerduty", routing_key={"env": "PD"}, base_url=server.url)
        world.plan(FIRED, "p", "pagerduty")
        await world.tell("p")
        world.plan(RESOLVED, "p", "pagerduty")
        world.plan(FIRED.model_copy(update={"alert_id": "newer"}), "p", "pagerduty", now_ms() + 1)
        [late] = await world.tell("p")
        [newer] = await world.tell("p")
    assert (late.state, late.reason) == (
        "suppressed",
        "a newer alert of the rule and group is open, and has the same incident",
    )
    assert newer.state == "sent"
    assert [request.data["event_action"] for request in server.asked] == ["trigger", "trigger"]
