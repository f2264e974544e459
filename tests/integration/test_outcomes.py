"""What a place says, and what the ledger says then: every kind of answer, through the whole job on a real Kafka."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sinks.testing import FIRED
from streams.local.standins import SlackCall, SlackReply, SlackStandIn, SmtpStandIn, slack_reply
from streams.settings import Settings
from tests.support.deliver import Deliver
from tests.support.receiver import Asked, Receiver, Reply, pagerduty_reply

pytestmark = pytest.mark.integration

SECRETS = {"PD": "p" * 32, "BAD_PD": "wrong", "WH": "whsec_" + "c2VjcmV0" * 4}
LATER, NEVER = "pending", "failed"


def slack_says(reply: SlackReply) -> Callable[[SlackCall], SlackReply]:
    return lambda _: reply


def refuses(error: str) -> Callable[[SlackCall], SlackReply]:
    return slack_says(SlackReply({"ok": False, "error": error}))


SLACK: dict[str, tuple[Callable[[SlackCall], SlackReply], str, str]] = {
    "slack 429": (slack_says(SlackReply({"ok": False}, 429, {"Retry-After": "2"})), LATER, "Slack asks to slow down"),
    "slack 503": (slack_says(SlackReply({}, 503)), LATER, "Slack answers 503"),
    "slack ok false": (refuses("internal_error"), LATER, "Slack says internal_error"),
    "slack refusal": (refuses("channel_not_found"), NEVER, "Slack says channel_not_found: check the destination's channel"),
    "slack revoked": (refuses("token_revoked"), NEVER, "Slack says token_revoked: install the Slack app again"),
}  # fmt: skip
MAIL = {
    "mail 421": ("421 4.3.2 closing", LATER, "the mail server says 421"),
    "mail 451": ("451 4.7.1 greylisted", LATER, "the mail server says 451"),
    "mail 550": ("550 5.1.1 no such user", NEVER, "the mail server says 550"),
    "mail cut after DATA": ("", LATER, "cannot be reached: SMTPServerDisconnected"),
}
HTTP: dict[str, tuple[Reply, str, str]] = {
    "pagerduty 429": (Reply(429, b"", {"Retry-After": "2"}), LATER, "PagerDuty asks to slow down"),
    "pagerduty 500": (Reply(500), LATER, "PagerDuty answers 500"),
    "pagerduty 400": (Reply(400), NEVER, "PagerDuty answers 400: check the integration key"),
    "webhook 502": (Reply(502), LATER, "the webhook at 127.0.0.1 answers 502"),
    "webhook 404": (Reply(404), NEVER, "the webhook at 127.0.0.1 answers 404"),
}


@dataclass
class Places:
    """Every place in its mood; `recover` makes those that only were busy well."""

    deliver: Deliver
    held: ExitStack
    slacks: dict[str, SlackStandIn] = field(default_factory=dict)
    mails: dict[str, SmtpStandIn] = field(default_factory=dict)
    servers: dict[str, Receiver] = field(default_factory=dict)
    well: bool = False

    def open(self) -> None:
        for name, (mood, _, _) in SLACK.items():
            self.slacks[name] = self.held.enter_context(SlackStandIn(respond=self._slack(mood)))
            self.deliver.slack(name, self.slacks[name])
        for name, (reply, _, _) in MAIL.items():
            self._mail(name, SmtpStandIn(respond=lambda _, reply=reply: "250 OK" if self.well else reply), ["a@x.org"])  # type: ignore[misc]
        self._mail("mail partly", SmtpStandIn(admit=lambda to: "550 no" if to.startswith("b") else "250 OK"), ["a@x.org", "b@x.org"])  # fmt: skip
        for name, (reply, _, _) in HTTP.items():
            self.servers[name] = self.held.enter_context(Receiver(self._http(reply)))
            url = self.servers[name].url
            if name.startswith("pagerduty"):
                self.deliver.destination(name, type="pagerduty", routing_key={"env": "PD"}, base_url=url)
            else:
                self.deliver.destination(name, type="webhook", url=url, secret={"env": "WH"})
        self.deliver.destination("webhook private", type="webhook", url="https://10.1.2.3/", secret={"env": "WH"})

    def _slack(self, mood: Callable[[SlackCall], SlackReply]) -> Callable[[SlackCall], SlackReply]:
        return lambda call: slack_reply(call) if self.well else mood(call)

    def _http(self, reply: Reply) -> Callable[[Asked], Reply]:
        return lambda request: (
            (Reply() if request.headers.get("webhook-id") else pagerduty_reply(request)) if self.well else reply
        )

    def _mail(self, name: str, server: SmtpStandIn, to: list[str]) -> None:
        self.mails[name] = self.held.enter_context(server)
        self.deliver.destination(
            name, type="email", to=to, smtp={"host": "127.0.0.1", "port": server.port, "tls": "none"}
        )

    def names(self) -> list[str]:
        return [*SLACK, *MAIL, "mail partly", *HTTP, "webhook private"]


@pytest.fixture
def places(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Places]:
    settings = Settings(
        bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2,
        env_allow={"*": ["*"]}, private_networks=["127.0.0.0/8"],
    )  # fmt: skip
    with ExitStack() as held:
        made = Places(Deliver(settings, tmp_path / "deliver.log", SECRETS), held)
        made.open()
        yield made
        made.deliver.stop()


def test_every_answer_stands_in_the_ledger_and_what_was_busy_is_told_in_the_end(places: Places) -> None:
    deliver = places.deliver
    deliver.rule(*({"notify": name} for name in places.names()))
    deliver.start()
    deliver.alert(FIRED)
    deliver.until(
        lambda: len(deliver.newest()) == len(places.names()) + 1 and all(e.attempts for e in deliver.newest().values())
    )
    seen = {f"{e.destination} {e.recipient}": e for _, e in deliver.history() if e.attempts == 1}
    by_name = {entry.destination: entry for entry in seen.values() if entry.recipient != "b@x.org"}
    for name, (_, state, reason) in {**SLACK, **MAIL, **HTTP}.items():
        assert (by_name[name].state, reason in by_name[name].reason) == (state, True), by_name[name]
    assert by_name["mail partly"].state == "sent"
    assert seen["mail partly b@x.org"].reason == "the mail server says 550 no: check the address"
    private = by_name["webhook private"]
    assert (private.state, private.reason.partition("; ")[0]) == (
        "failed",
        "10.1.2.3 is refused: 10.1.2.3 is not a public address",
    )
    for name in ("slack 429", "pagerduty 429"):
        assert by_name[name].due_at - by_name[name].changed_at >= 2000

    places.well = True
    recovered = time.monotonic()
    busy = [name for name, told in {**SLACK, **MAIL, **HTTP}.items() if told[1] == LATER]
    deliver.until(lambda: all(e.state == "sent" for e in deliver.newest().values() if e.destination in busy))
    assert time.monotonic() - recovered < 20
    assert {mail.text.partition("Message-ID: ")[2][:34] for mail in places.mails["mail cut after DATA"].mails} != set()
    assert len({request.headers["webhook-id"] for request in places.servers["webhook 502"].asked}) == 1


def test_what_fails_for_good_is_told_to_the_fallback_once(places: Places) -> None:
    deliver = places.deliver
    with SlackStandIn(respond=refuses("token_revoked")) as broken, SlackStandIn() as well:
        for name, server, fallback in (
            ("first", broken, "second"),
            ("second", broken, "first"),
            ("third", broken, "fourth"),
        ):
            spec = {"type": "slack", "token": {"env": "SLACK"}, "channel": f"#{name}", "base_url": server.url}
            deliver.destination(name, **spec, fallback=fallback)
        deliver.slack("fourth", well)
        deliver.rule({"notify": "first"}, {"notify": "third"}, {"notify": "fourth"})
        deliver.start()
        deliver.alert(FIRED)
        expected = {
            "first #first": "failed",
            "second #second": "failed",
            "third #third": "failed",
            "fourth #fourth": "sent",
        }
        deliver.until(lambda: {name: entry.state for name, entry in deliver.newest().items()} == expected)
        newest = deliver.newest()
    assert len(well.calls) == 1
    assert newest["third #third"].reason.endswith("; told 'fourth' instead")
    assert newest["fourth #fourth"].reason in ("", "because third failed: Slack says token_revoked: install the Slack app again and store its new bot token")  # fmt: skip
    assert newest["second #second"].instead_of.startswith("first failed: Slack says token_revoked")
