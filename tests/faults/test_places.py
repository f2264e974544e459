"""Slack and the mail server as they are on a bad day, under load: slow, flapping, refusing for now, cut in the middle."""

import random
import time
from pathlib import Path

import pytest

from streams.local.standins import Mail, SlackCall, SlackReply, SlackStandIn, SmtpStandIn, slack_reply
from tests.support.invariants import Places, assert_all_hold
from tests.support.ledger import Load
from tests.support.system import running

pytestmark = [pytest.mark.faults, pytest.mark.integration]

SECONDS = 60
SLOW_S = 3
TOLD_WITHIN_S = 900
"""Pauses between tries grow."""


class FlappingSlack:
    """Refuses every other call, each time in another way, and is slow with some. By chance: what asks twice a time must meet all of it."""

    MOODS = ("429", "well", "503", "well", "ratelimited", "slow", "internal_error", "well")

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)

    def __call__(self, call: SlackCall) -> SlackReply:
        match self._chance.choice(self.MOODS):
            case "429":
                return SlackReply({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "1"})
            case "503":
                return SlackReply({}, 503)
            case "ratelimited":
                return SlackReply({"ok": False, "error": "ratelimited"})
            case "internal_error":
                return SlackReply({"ok": False, "error": "internal_error"})
            case "slow":
                time.sleep(SLOW_S)
        return slack_reply(call)


class FlappingMail:
    """Greylists, is busy, and takes a mail without saying so."""

    REPLIES = (
        "451 4.7.1 greylisted",
        "250 OK",
        "421 4.3.2 shutting down",
        "250 OK",
        "",
        "250 OK",
        "452 4.2.2 full for now",
    )

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)

    def __call__(self, _: Mail) -> str:
        return self._chance.choice(self.REPLIES)


def test_a_bad_day_of_slack_and_mail_loses_no_alert_and_invents_none(tmp_path: Path) -> None:
    places = Places(SlackStandIn(respond=FlappingSlack()), SmtpStandIn(respond=FlappingMail()))
    with places, running(tmp_path / "data") as system:
        system.apply(places.documents)
        with Load(system) as load:
            time.sleep(SECONDS)
        assert_all_hold(system, load.ledger, places, told_within_s=TOLD_WITHIN_S)
        states = system.select("SELECT DISTINCT state FROM deliveries FINAL")
        assert [row["state"] for row in states if row["state"] != "suppressed"] == ["sent"]
        mails = [
            line
            for mail in places.smtp.mails
            for line in mail.text.splitlines()
            if line.lower().startswith("message-id:")
        ]
        assert len(mails) > len(set(mails))  # a mail that was cut came again under its own Message-ID
