"""What every destination is sent, byte by byte. `python tests/golden/test_messages.py` renews the files; look at the difference."""

import json
from pathlib import Path

import pytest

from schemas.alert import AlertChange
from sinks import mail, pagerduty, slack, webhook
from sinks.message import compose
from sinks.testing import ACKNOWLEDGED, FIRED, RENOTIFIED, RESOLVED, RULE

FILES = Path(__file__).parent / "messages"
URL = "https://vedette.example.com"

NASTY = (
    "<!channel> <https://evil.example|Reset> & \u202egnp.exe\r\nBcc: evil@example.com\x00\x1b[31m \u2028<b onload=x>"
)
HOSTILE = FIRED.model_copy(
    update={
        "rule": f"Failures {NASTY}",
        "group_key": json.dumps({"agent": NASTY * 50, "attribute:tier": "<@U123>", "customer": ""}),
        "cause": NASTY * 200,
        "evidence": tuple(
            match.model_copy(update={"reason": (NASTY if n else "long & reason ") * 1000, "trace_id": "../<x>?y"})
            for n, match in enumerate(FIRED.evidence)
        ),
    }
)
CHANGES = {
    "fired": FIRED,
    "renotified": RENOTIFIED,
    "acknowledged": ACKNOWLEDGED,
    "resolved": RESOLVED,
    "hostile": HOSTILE,
}


def slack_golden(change: AlertChange) -> str:
    return _json(slack.identified(compose(change, RULE, URL, "#agents", quiet=_quiet(change))))


def buttons_golden(change: AlertChange) -> str:
    return _json(slack.identified(compose(change, RULE, URL, "#agents", quiet=_quiet(change)), buttons=True))


def pagerduty_golden(change: AlertChange) -> str:
    return _json(pagerduty.event(compose(change, RULE, URL, "pagerduty", quiet=_quiet(change))))


def webhook_golden(change: AlertChange) -> str:
    return _json(json.loads(webhook.payload(compose(change, RULE, URL, "hooks.example.com"))))


def _quiet(change: AlertChange) -> bool:
    return change.kind == "acknowledged"


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=True) + "\n"


def mail_golden(change: AlertChange) -> str:
    return mail.build(compose(change, RULE, URL, "me@example.com"), "vedette@example.com").as_bytes().decode()


JSON = {
    "slack": slack_golden,
    "slack-buttons": buttons_golden,
    "pagerduty": pagerduty_golden,
    "webhook": webhook_golden,
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("place", JSON)
def test_a_destination_is_sent_what_the_golden_file_shows(place: str, name: str) -> None:
    assert JSON[place](CHANGES[name]) == (FILES / f"{place}-{name}.json").read_text()


@pytest.mark.parametrize("name", CHANGES)
def test_a_webhook_keeps_to_its_schema(name: str) -> None:
    webhook.AlertEvent.model_validate_json(webhook_golden(CHANGES[name]), extra="forbid")


@pytest.mark.parametrize("name", CHANGES)
def test_a_mail_reads_as_the_golden_file_shows(name: str) -> None:
    assert mail_golden(CHANGES[name]).encode() == (FILES / f"mail-{name}.eml").read_bytes()


if __name__ == "__main__":
    for name, change in CHANGES.items():
        for place, golden in JSON.items():
            (FILES / f"{place}-{name}.json").write_text(golden(change))
        (FILES / f"mail-{name}.eml").write_bytes(mail_golden(change).encode())
