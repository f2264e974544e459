"""`kind: Destination`."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from schemas.documents.base import Base, EnvRef, Name, Strict

Email = Annotated[str, Field(pattern=r"^[^@\s,;<>\"\x00-\x1f]+@[^@\s,;<>\"\x00-\x1f]+$", max_length=254)]


HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#@\\]+([/?][^\s#\\]*)?$", max_length=2000)]
"""Without a user, a password or a fragment."""


class Template(Strict):
    """Own words for alerts, in the language of Jinja; what stands there instead of them is in docs/alerts.md."""

    subject: str | None = Field(default=None, max_length=2000, description="instead of the headline")
    text: str | None = Field(default=None, max_length=20_000, description="instead of cause, facts and samples")


class Told(Strict):
    """What every destination may say about how it is told."""

    template: Template | None = None
    fallback: Name | None = Field(default=None, description="the destination that is told what fails here for good")


class SlackSpec(Told):
    """A Slack channel, written to by a bot (`token` and `channel`) or through an incoming webhook (`webhook_url`)."""

    type: Literal["slack"]
    token: EnvRef | None = Field(default=None, description="of a bot: xoxb-…")
    channel: str | None = Field(default=None, min_length=1)
    app_token: EnvRef | None = Field(default=None, description="xapp-…; with it messages have buttons (Socket Mode)")
    webhook_url: EnvRef | None = Field(default=None, description="of an incoming webhook: no threads, updates, buttons")
    base_url: str | None = Field(default=None, description="another server that speaks Slack's Web API")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook_url is None) == (self.token is None):
            raise ValueError("slack takes either `token` and `channel`, or `webhook_url`")
        if self.token is not None and self.channel is None:
            raise ValueError("`channel` is missing: a bot writes to a channel")
        if self.webhook_url is not None and (self.channel or self.app_token or self.base_url):
            raise ValueError("`webhook_url` stands alone: an incoming webhook has its channel, and no buttons")
        return self


class Smtp(Strict):
    """A mail server."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    username: str | None = None
    password: EnvRef | None = None


class EmailSpec(Told):
    """Mail addresses. Without `smtp` the operator's `VEDETTE_SMTP_URL` is used."""

    type: Literal["email"]
    to: tuple[Email, ...] = Field(min_length=1)
    from_: Email | None = Field(default=None, alias="from")
    smtp: Smtp | None = None
    digest_above: int = Field(
        default=60, ge=1, le=1000, description="mails an hour and recipient; what is above is gathered in one mail"
    )


class PagerDutySpec(Told):
    """A service of PagerDuty, by its Events API v2."""

    type: Literal["pagerduty"]
    routing_key: EnvRef
    base_url: HttpUrl | None = Field(default=None, description="another server that speaks the Events API")


class WebhookSpec(Told):
    """A program of yours, told by signed requests (Standard Webhooks)."""

    type: Literal["webhook"]
    url: HttpUrl
    secret: EnvRef | Annotated[tuple[EnvRef, ...], Field(min_length=1)] = Field(
        description="whsec_…; while it changes a list: new and old"
    )

    @property
    def secrets(self) -> tuple[EnvRef, ...]:
        """Every secret that signs."""
        return self.secret if isinstance(self.secret, tuple) else (self.secret,)

    @property
    def host(self) -> str:
        """The host and port of the URL."""
        return urlsplit(self.url).netloc


DestinationSpec = SlackSpec | EmailSpec | PagerDutySpec | WebhookSpec


class Destination(Base):
    """Where alerts are told."""

    kind: Literal["Destination"]
    spec: Annotated[DestinationSpec, Field(discriminator="type")]

    @model_validator(mode="after")
    def _not_itself(self) -> Self:
        if self.spec.fallback == self.metadata.name:
            raise ValueError("`fallback` names the destination itself: name another one")
        return self
