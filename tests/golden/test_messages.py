"""What every destination is sent, byte by byte. `python tests/golden/test_messages.py` renews the files; look at the difference."""

import json
from pathlib import Path

import pytest

from schemas.alert import AlertChange
from schemas.documents.destination import Template
from sinks import mail, pagerduty, slack, template, webhook
from sinks.message import compose, digest
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


OWN = Template(subject="[{{ severity|upper }}] {{ rule }}", text="{{ cause }}\n{% for one in samples %}* {{ one.reason }}\n{% endfor %}")  # fmt: skip
SPECIAL = {
    "still-firing": compose(RENOTIFIED, RULE, URL, "me@example.com", "C1,17.1", kept_quiet="silence 'night' until 2030-01-01T00:00:00+00:00: upgrade"),
    "fallback": compose(FIRED, RULE, URL, "me@example.com", instead_of="oncall-slack failed: Slack says token_revoked"),
    "template": template.rendered(compose(FIRED, RULE, URL, "me@example.com"), OWN),
}  # fmt: skip
"""What is told late, elsewhere or in own words."""
DIGEST = digest([compose(change, RULE, URL, "me@example.com") for change in (FIRED, RENOTIFIED, RESOLVED)], URL)


def digest_golden() -> bytes:
    return mail.build(DIGEST, "vedette@example.com").as_bytes()


def special_goldens(name: str) -> tuple[str, str]:
    """Returns the mail, and what Slack and programs are sent."""
    message = SPECIAL[name]
    told = {
        "slack": slack.identified(message),
        "pagerduty": pagerduty.event(message),
        "webhook": json.loads(webhook.payload(message)),
    }
    return mail.build(message, "vedette@example.com").as_bytes().decode(), _json(told)


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


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_told_late_elsewhere_or_in_own_words_reads_as_the_golden_files_show(name: str) -> None:
    told_by_mail, told = special_goldens(name)
    assert told_by_mail.encode() == (FILES / f"mail-{name}.eml").read_bytes()
    assert told == (FILES / f"{name}.json").read_text()


def test_a_digest_reads_as_the_golden_file_shows() -> None:
    assert digest_golden() == (FILES / "mail-digest.eml").read_bytes()


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
    (FILES / "mail-digest.eml").write_bytes(digest_golden())
    for name in SPECIAL:
        told_by_mail, told = special_goldens(name)
        (FILES / f"mail-{name}.eml").write_bytes(told_by_mail.encode())
        (FILES / f"{name}.json").write_text(told)
