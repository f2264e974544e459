"""From a destination's document to the sink that tells it."""

from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, TypeAdapter, ValidationError

from schemas.documents.destination import DestinationSpec, EmailSpec, PagerDutySpec, SlackSpec, Smtp, WebhookSpec
from schemas.net_guard import networks
from sinks.egress import Egress
from sinks.mail import Mail
from sinks.pagerduty import BASE_URL as PAGERDUTY
from sinks.pagerduty import PagerDuty
from sinks.sink import Permanent, Sink
from sinks.slack import Slack
from sinks.slack_webhook import SlackWebhook
from sinks.webhook import Webhook
from streams.logic.configuration import Configuration
from streams.logic.delivery import IN_RULE
from streams.secret import resolve
from streams.settings import Settings

_SPEC: TypeAdapter[Any] = TypeAdapter(Annotated[DestinationSpec, Field(discriminator="type")])
_PORTS = {"none": 25, "starttls": 587, "tls": 465}


def find(configuration: Configuration, project: str, name: str) -> DestinationSpec | None:
    """Returns the newest spec of a destination, or None when there is none.

    Raises:
        Permanent: this release does not know such a destination.

    """
    newest = configuration.newest("Destination", project, name)
    if newest is None:
        return None
    try:
        spec: DestinationSpec = _SPEC.validate_json(newest.spec)
    except ValidationError as error:
        raise Permanent(f"destination {name!r} cannot be read by this release: {error.errors()[0]['msg']}") from None
    return spec


def of_entry(configuration: Configuration, project: str, name: str, recipient: str) -> DestinationSpec:
    """Returns the newest spec for a ledger entry; addresses that stand in a rule need no destination.

    Raises:
        Permanent: the destination does not exist, or no longer has this recipient.

    """
    spec = find(configuration, project, name)
    if name == IN_RULE and "@" in recipient and not isinstance(spec, EmailSpec):
        return EmailSpec(type="email", to=(recipient,))
    if spec is None:
        raise Permanent(f"destination {name!r} does not exist: create it or remove it from the rule")
    if isinstance(spec, EmailSpec) and name != IN_RULE and recipient not in spec.to:
        raise Permanent(f"destination {name!r} does not list {recipient or 'anybody it listed then'!r} any more")
    return spec


def sink(spec: DestinationSpec, project: str, settings: Settings) -> Sink:
    """Returns the sink of a destination, with its secrets.

    Raises:
        Permanent: a secret or the mail server is missing; the reason says how to supply it.

    """
    match spec:
        case SlackSpec():
            return _slack(spec, project, settings)
        case PagerDutySpec():
            key = resolve(spec.routing_key, project, settings)
            return PagerDuty(key, spec.base_url or PAGERDUTY, egress(settings))
        case EmailSpec():
            return _mail(spec, project, settings)
        case WebhookSpec():
            secrets = tuple(resolve(secret, project, settings) for secret in spec.secrets)
            return Webhook(spec.url, secrets, egress(settings))


def egress(settings: Settings) -> Egress:
    """Returns where hosts may be that tenants name."""
    return Egress(networks(settings.private_networks))


def _slack(spec: SlackSpec, project: str, settings: Settings) -> Slack | SlackWebhook:
    if spec.webhook_url is not None:
        return SlackWebhook(resolve(spec.webhook_url, project, settings), egress(settings))
    if spec.token is None or spec.channel is None:
        raise Permanent("the destination has no bot token and channel: apply it again")
    token, buttons = resolve(spec.token, project, settings), spec.app_token is not None
    return Slack(token, spec.channel, spec.base_url, buttons, egress(settings))


def mail_by_url(url: SecretStr | None, sender: str) -> Mail:
    """Returns the mail sink of `VEDETTE_SMTP_URL`: smtp://user:password@host:port?tls=none|starttls|tls, or smtps://… for tls.

    Raises:
        Permanent: there is no such URL, or it is none.

    """
    if url is None:
        raise Permanent(
            "there is no mail server: give the destination `smtp`, or set VEDETTE_SMTP_URL where deliver runs"
        )
    try:
        parts = urlsplit(url.get_secret_value())
        port = parts.port
    except ValueError:
        raise Permanent(_BAD_URL) from None
    tls = parse_qs(parts.query).get("tls", ["tls" if parts.scheme == "smtps" else "starttls"])[0]
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or tls not in _PORTS:
        raise Permanent(_BAD_URL)
    user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    smtp = Smtp.model_validate({"host": parts.hostname, "port": port or _PORTS[tls], "tls": tls, "username": user})
    return Mail(smtp.host, sender, smtp.port, smtp.tls, smtp.username, password)


_BAD_URL = "VEDETTE_SMTP_URL is not of the form smtp://user:password@host:port?tls=none|starttls|tls"


def _mail(spec: EmailSpec, project: str, settings: Settings) -> Mail:
    sender, smtp = spec.from_ or settings.smtp_from, spec.smtp
    if smtp is None:
        return mail_by_url(settings.smtp_url, sender)
    password = resolve(smtp.password, project, settings) if smtp.password else None
    return Mail(smtp.host, sender, smtp.port, smtp.tls, smtp.username, password, egress(settings))
