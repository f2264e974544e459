"""A test message goes to each recipient, and leaves nobody with an incident."""

import pytest

from schemas.documents.destination import EmailSpec, PagerDutySpec
from streams.api.send_test import Outcome, send
from streams.local.standins import SmtpStandIn
from streams.settings import Settings
from tests.support.receiver import Receiver, pagerduty_reply

NOW = 1_767_225_600_000


async def test_every_recipients_outcome_is_told() -> None:
    with SmtpStandIn(admit=lambda to: "550 no" if to.startswith("b") else "250 OK") as server:
        smtp = {"host": "127.0.0.1", "port": server.port, "tls": "none"}
        spec = EmailSpec.model_validate({"type": "email", "to": ["a@x.org", "b@x.org"], "smtp": smtp})
        outcomes = await send(spec, "p", "m", Settings(private_networks=["127.0.0.1"]), "1", NOW)
        refused = await send(spec, "p", "m", Settings(), "1", NOW)
    assert outcomes == [
        Outcome("a@x.org", "sent"),
        Outcome("b@x.org", "failed", "the mail server says 550 no: check the address"),
    ]
    assert {outcome.state for outcome in refused} == {"failed"}
    assert "VEDETTE_PRIVATE_NETWORKS" in refused[0].reason
    assert "This is a test of the destination: nothing fired." in server.mails[0].text


async def test_a_test_of_pagerduty_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PD", "p" * 32)
    settings = Settings(env_allow={"p": ["PD"]}, private_networks=["127.0.0.1"])
    with Receiver(pagerduty_reply) as server:
        spec = PagerDutySpec.model_validate({"type": "pagerduty", "routing_key": {"env": "PD"}, "base_url": server.url})
        assert await send(spec, "p", "on call", settings, "1", NOW) == [Outcome("pagerduty", "sent")]
    events = [request.data for request in server.asked]
    assert [event["event_action"] for event in events] == ["trigger", "resolve"]
    assert len({event["dedup_key"] for event in events}) == 1
