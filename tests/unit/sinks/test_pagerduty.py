"""PagerDuty's sink against a server that checks events as the Events API v2 does."""

import pytest

from schemas.alert import AlertChange
from sinks.message import Message, compose
from sinks.pagerduty import PagerDuty, dedup_key
from sinks.sink import Permanent, Transient
from sinks.testing import ACKNOWLEDGED, FIRED, RENOTIFIED, RESOLVED, RULE
from tests.support.receiver import LOOPBACK, Receiver, Reply, pagerduty_reply

KEY = "r" * 32
DEDUP = 'vedette:default:Package Inquiry Failures:{"agent":"CustomerServiceAgent"}'


def told(change: AlertChange, *, quiet: bool = False) -> Message:
    return compose(change, RULE, "https://v.example", "pagerduty", quiet=quiet)


def sink(server: Receiver, key: str = KEY) -> PagerDuty:
    return PagerDuty(key, server.url, LOOPBACK, timeout_s=1)


async def test_an_alert_is_one_incident_from_its_firing_to_its_end() -> None:
    renotified = RENOTIFIED.model_copy(update={"state": "acknowledged"})
    with Receiver(pagerduty_reply) as server:
        for message in (told(FIRED), told(ACKNOWLEDGED, quiet=True), told(renotified, quiet=True), told(RESOLVED)):
            assert await sink(server).send(message) == DEDUP
    events = [request.data for request in server.asked]
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "acknowledge", "resolve"]
    assert {(event["dedup_key"], event["routing_key"]) for event in events} == {(DEDUP, KEY)}
    assert [sorted(event) for event in events[1:]] == [["dedup_key", "event_action", "routing_key"]] * 3


@pytest.mark.parametrize("severity", ["info", "warning", "critical"])
async def test_severity_links_and_details_come_along(severity: str) -> None:
    with Receiver(pagerduty_reply) as server:
        await sink(server).send(told(FIRED.model_copy(update={"severity": severity})))
    event = server.asked[0].data
    assert event["payload"]["severity"] == severity
    assert event["links"][0] == {"href": event["client_url"], "text": "Open alert"}
    assert event["payload"]["custom_details"]["Condition"] == "Package Inquiry Scorer fails, 3 times in 5m"


def test_a_long_dedup_key_is_hashed_and_stays_apart_from_others() -> None:
    groups = [f'{{"customer":"{"x" * 300}{n}"}}' for n in range(2)]
    keys = {dedup_key(told(FIRED.model_copy(update={"group_key": group}))) for group in groups}
    assert len(keys) == 2
    assert max(map(len, keys)) <= 255


async def test_a_huge_alert_keeps_to_the_limits() -> None:
    huge = FIRED.model_copy(update={"rule": "r" * 5000, "cause": "c" * 50_000, "group_key": f'{{"agent":"{"g" * 50_000}"}}'})  # fmt: skip
    with Receiver(pagerduty_reply) as server:
        assert await sink(server).send(told(huge))
    assert len(server.asked[0].body) < 50_000


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"), [(429, {"Retry-After": "7"}, 7.0), (500, {}, None), (503, {}, None)]
)
async def test_what_may_pass(status: int, headers: dict[str, str], wait_s: float | None) -> None:
    with Receiver(lambda _: Reply(status, b"", headers)) as server, pytest.raises(Transient) as failure:
        await sink(server).send(told(FIRED))
    assert failure.value.retry_after_s == wait_s


async def test_a_wrong_key_is_refused_with_the_remedy_and_never_shown() -> None:
    with Receiver(pagerduty_reply) as server, pytest.raises(Permanent) as failure:
        await sink(server, "short-and-secret").send(told(FIRED))
    assert failure.value.reason.startswith("PagerDuty answers 400: check the integration key")
    assert "secret" not in failure.value.reason + repr(sink(server, "short-and-secret"))
