"""What Slack and mail are sent, byte by byte. `python tests/golden/test_messages.py` renews the files; look at the difference."""

import json
from pathlib import Path

import pytest

from schemas.alert import AlertChange
from sinks import mail, slack
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
    message = compose(change, RULE, URL, "#agents", quiet=change.kind == "acknowledged")
    return json.dumps(slack.identified(message), indent=2, ensure_ascii=True) + "\n"


def mail_golden(change: AlertChange) -> str:
    return mail.build(compose(change, RULE, URL, "me@example.com"), "vedette@example.com").as_bytes().decode()


@pytest.mark.parametrize("name", CHANGES)
def test_slack_is_sent_what_the_golden_file_shows(name: str) -> None:
    assert slack_golden(CHANGES[name]) == (FILES / f"slack-{name}.json").read_text()


@pytest.mark.parametrize("name", CHANGES)
def test_a_mail_reads_as_the_golden_file_shows(name: str) -> None:
    assert mail_golden(CHANGES[name]).encode() == (FILES / f"mail-{name}.eml").read_bytes()


if __name__ == "__main__":
    for name, change in CHANGES.items():
        (FILES / f"slack-{name}.json").write_text(slack_golden(change))
        (FILES / f"mail-{name}.eml").write_bytes(mail_golden(change).encode())
