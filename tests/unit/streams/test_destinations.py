"""From a destination's document to the sink that tells it."""

import pytest
from pydantic import SecretStr

from schemas.config import ConfigEntry
from schemas.documents.destination import EmailSpec
from sinks.egress import PUBLIC
from sinks.mail import Mail
from sinks.sink import Permanent
from sinks.slack import Slack
from streams import destinations
from streams.logic.configuration import Configuration
from streams.settings import Settings

SLACK = b'{"type":"slack","token":{"env":"PATH"},"channel":"#agents","base_url":"http://127.0.0.1/api/"}'
MAIL = b'{"type":"email","to":["a@x.org"],"from":"v@x.org","smtp":{"host":"mx","port":25,"tls":"none","username":"u"}}'
PLAIN = b'{"type":"email","to":["a@x.org"]}'


def configured(**specs: bytes) -> Configuration:
    configuration = Configuration()
    for name, spec in specs.items():
        entry = ConfigEntry(project="p", kind="Destination", name=name, version="1", spec=spec)
        configuration.apply(entry, 0)
    return configuration


def test_a_destination_becomes_its_sink_with_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "xoxb-1")
    settings = Settings(env_allow={"p": ["PATH"]})
    configuration = configured(slack=SLACK, mail=MAIL)
    slack, mail = (destinations.of_entry(configuration, "p", name, "a@x.org") for name in ("slack", "mail"))
    assert destinations.sink(slack, "p", settings) == Slack("xoxb-1", "#agents", "http://127.0.0.1/api/")
    assert destinations.sink(mail, "p", settings) == Mail("mx", "v@x.org", 25, "none", "u", egress=PUBLIC)


def test_an_address_in_a_rule_needs_no_destination_but_uses_one_named_email() -> None:
    assert destinations.of_entry(configured(), "p", "email", "b@x.org") == EmailSpec(type="email", to=("b@x.org",))
    assert destinations.of_entry(configured(email=SLACK), "p", "email", "b@x.org") == EmailSpec(
        type="email", to=("b@x.org",)
    )
    assert destinations.of_entry(configured(email=MAIL), "p", "email", "b@x.org") == EmailSpec.model_validate_json(MAIL)


def test_what_is_missing_is_told_with_the_fix() -> None:
    with pytest.raises(Permanent, match=r"^destination 'gone' does not exist: create it or remove it from the rule$"):
        destinations.of_entry(configured(), "p", "gone", "")
    with pytest.raises(Permanent, match=r"^destination 'mail' does not list 'b@x.org' any more$"):
        destinations.of_entry(configured(mail=MAIL), "p", "mail", "b@x.org")
    with pytest.raises(Permanent, match=r"^destination 'new' cannot be read by this release"):
        destinations.of_entry(configured(new=b'{"type":"pager"}'), "p", "new", "")
    with pytest.raises(
        Permanent, match=r"^there is no mail server: give the destination `smtp`, or set VEDETTE_SMTP_URL"
    ):
        destinations.sink(EmailSpec.model_validate_json(PLAIN), "p", Settings())


def test_the_operators_mail_server_is_read_from_its_url() -> None:
    def read(url: str) -> Mail:
        return destinations.mail_by_url(SecretStr(url), "v@x.org")

    assert read("smtp://127.0.0.1:2525?tls=none") == Mail("127.0.0.1", "v@x.org", 2525, "none")
    assert read("smtp://u%40x:p%2Fw@mx") == Mail("mx", "v@x.org", 587, "starttls", "u@x", "p/w")
    assert read("smtps://mx") == Mail("mx", "v@x.org", 465, "tls")
    for wrong in ("http://mx", "smtp://", "mx:25", "smtp://mx:port", "smtp://u:hunter2@mx?tls=maybe"):
        with pytest.raises(Permanent, match="is not of the form") as refusal:
            read(wrong)
        assert "hunter2" not in refusal.value.reason
