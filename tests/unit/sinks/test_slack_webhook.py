"""An incoming webhook of Slack's: one message a change, and Slack's own words when it refuses."""

import pytest

from sinks.message import compose
from sinks.sink import Permanent, Transient
from sinks.slack import payload
from sinks.slack_webhook import REMEDIES, SlackWebhook
from sinks.testing import FIRED, RESOLVED, RULE
from tests.support.receiver import LOOPBACK, Receiver, Reply

FIRST = compose(FIRED, RULE, "https://v.example", "incoming webhook")
LAST = compose(RESOLVED, RULE, "https://v.example", "incoming webhook", "earlier")


async def test_every_change_is_a_message_of_its_own_without_buttons() -> None:
    with Receiver() as server:
        references = [await SlackWebhook(f"{server.url}/services/T/B/x", LOOPBACK).send(one) for one in (FIRST, LAST)]
    assert [request.data for request in server.asked] == [payload(FIRST), payload(LAST)]
    assert references == [FIRST.identity, LAST.identity]


async def test_what_slack_refuses_comes_with_the_remedy() -> None:
    with Receiver() as server:
        for code, remedy in REMEDIES.items():
            refusal = Reply(403, code.encode())
            server.respond = lambda _, refusal=refusal: refusal  # type: ignore[misc]
            with pytest.raises(Permanent) as failure:
                await SlackWebhook(server.url, LOOPBACK).send(FIRST)
            assert failure.value.reason == f"Slack says {code}: {remedy}"


async def test_slack_may_be_busy() -> None:
    with Receiver(lambda _: Reply(429, b"", {"Retry-After": "3"})) as server, pytest.raises(Transient) as failure:
        await SlackWebhook(server.url, LOOPBACK).send(FIRST)
    assert failure.value.retry_after_s == 3


async def test_the_url_is_a_secret() -> None:
    with pytest.raises(Permanent) as failure:
        await SlackWebhook("not-a-url-but-secret").send(FIRST)
    assert "secret" not in failure.value.reason + repr(SlackWebhook("https://hooks.slack.com/secret"))
