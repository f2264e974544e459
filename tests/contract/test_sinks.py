"""What every sink promises, asked of the shipped fake and of the real ones against real servers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import pytest

from sinks.mail import Mail
from sinks.message import compose
from sinks.pagerduty import PagerDuty
from sinks.sink import Permanent, Sink, Transient
from sinks.slack import Slack
from sinks.slack_webhook import SlackWebhook
from sinks.testing import FIRED, RESOLVED, RULE, Recorder
from sinks.webhook import Webhook
from streams.local.standins import SlackReply, SlackStandIn, SmtpStandIn, slack_reply
from tests.support.receiver import LOOPBACK, Receiver, Reply, pagerduty_reply

Mood = Literal["well", "busy", "refusing"]
SLACK = {"busy": SlackReply({"ok": False}, 503), "refusing": SlackReply({"ok": False, "error": "is_archived"})}
SMTP = {"well": "250 OK", "busy": "451 later", "refusing": "550 never"}
HTTP = {"busy": Reply(503), "refusing": Reply(400)}
HOOK = {"well": Reply(), "busy": Reply(429), "refusing": Reply(403, b"action_prohibited")}
FAKE = {"well": (), "busy": (Transient("later"),), "refusing": (Permanent("never"),)}


@contextmanager
def slack(mood: Mood) -> Iterator[Sink]:
    with SlackStandIn(respond=lambda call: SLACK.get(mood) or slack_reply(call)) as server:
        yield Slack("xoxb-1", "#agents", server.url, egress=LOOPBACK)


@contextmanager
def slack_webhook(mood: Mood) -> Iterator[Sink]:
    with Receiver(lambda _: HOOK[mood]) as server:
        yield SlackWebhook(server.url, LOOPBACK)


@contextmanager
def pagerduty(mood: Mood) -> Iterator[Sink]:
    with Receiver(lambda request: HTTP.get(mood) or pagerduty_reply(request)) as server:
        yield PagerDuty("k" * 32, server.url, LOOPBACK)


@contextmanager
def webhook(mood: Mood) -> Iterator[Sink]:
    with Receiver(lambda _: HTTP.get(mood) or Reply(204, b"")) as server:
        yield Webhook(server.url, ("whsec_" + "c2VjcmV0" * 4,), LOOPBACK)


@contextmanager
def mail(mood: Mood) -> Iterator[Sink]:
    with SmtpStandIn(respond=lambda _: SMTP[mood]) as server:
        yield Mail("127.0.0.1", "v@example.com", server.port, "none")


@contextmanager
def recorder(mood: Mood) -> Iterator[Sink]:
    yield Recorder(FAKE[mood])


Place = Callable[[Mood], AbstractContextManager[Sink]]
each_sink = pytest.mark.parametrize("place", [slack, slack_webhook, mail, pagerduty, webhook, recorder])


@each_sink
async def test_telling_returns_a_reference_and_takes_it_back_with_the_next_change(place: Place) -> None:
    with place("well") as sink:
        reference = await sink.send(compose(FIRED, RULE, "https://v.example", "a@example.com"))
        assert reference
        assert await sink.send(compose(RESOLVED, RULE, "https://v.example", "a@example.com", reference))


@each_sink
async def test_a_busy_place_is_transient(place: Place) -> None:
    with place("busy") as sink, pytest.raises(Transient) as failure:
        await sink.send(compose(FIRED, RULE, "https://v.example", "a@example.com"))
    assert failure.value.reason


@each_sink
async def test_a_refusal_is_permanent(place: Place) -> None:
    with place("refusing") as sink, pytest.raises(Permanent) as failure:
        await sink.send(compose(FIRED, RULE, "https://v.example", "a@example.com"))
    assert failure.value.reason
