"""`kind: Provider`."""

from typing import Literal

from pydantic import Field

from schemas.documents.base import Base, EnvRef, Metadata, Name, Strict


class ProviderSpec(Strict):
    """An LLM provider for judges and for the gateway of hosted scorers."""

    type: Literal["openai"]
    base_url: str | None = None
    api_key: EnvRef
    models: tuple[str, ...] = ()
    requests_per_minute: int = Field(default=600, ge=1)
    budget_usd_per_day: float | None = Field(default=None, ge=0)


class OfAll(Metadata):
    """Names a provider of one project, or with the project "" of all of them: a project's own of that name wins."""

    project: Name | Literal[""] = "default"


class Provider(Base):
    """An LLM provider."""

    kind: Literal["Provider"]
    metadata: OfAll
    spec: ProviderSpec
