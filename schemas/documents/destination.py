"""`kind: Destination`."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.documents.base import Base, EnvRef, Strict

Email = Annotated[str, Field(pattern=r"^[^@\s,;<>\"\x00-\x1f]+@[^@\s,;<>\"\x00-\x1f]+$", max_length=254)]


class SlackSpec(Strict):
    """A Slack channel, written to with a bot token."""

    type: Literal["slack"]
    token: EnvRef
    channel: str = Field(min_length=1)
    base_url: str | None = Field(default=None, description="another server that speaks Slack's Web API")


class Smtp(Strict):
    """A mail server."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    username: str | None = None
    password: EnvRef | None = None


class EmailSpec(Strict):
    """Mail addresses. Without `smtp` the operator's `VEDETTE_SMTP_URL` is used."""

    type: Literal["email"]
    to: tuple[Email, ...] = Field(min_length=1)
    from_: Email | None = Field(default=None, alias="from")
    smtp: Smtp | None = None


class Destination(Base):
    """Where alerts are told."""

    kind: Literal["Destination"]
    spec: Annotated[SlackSpec | EmailSpec, Field(discriminator="type")]
