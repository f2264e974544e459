"""`kind: Scorer`."""

from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from schemas.documents.base import Base, Name, Rate, Strict

CONTEXT = frozenset({"agent", "agent_version", "session_id", "customer_id", "environment"})
"""What instrumentations may name on a parent only."""


class Filter(Strict):
    """Which subjects: every field that is given must be equal."""

    agent: str | None = None
    environment: str | None = None
    customer: str | None = None
    session: str | None = None
    span: str | None = Field(default=None, description="name of the span")
    kind: Literal["llm", "tool", "agent", "retriever", "chain", "other"] | None = None
    agent_version: str | None = None

    @cached_property
    def given(self) -> tuple[tuple[str, str], ...]:
        """The fields that are given, by their names on subjects and scores."""
        return tuple((ON_SUBJECTS.get(name, name), value) for name, value in self if value is not None)

    @cached_property
    def context(self) -> tuple[str, ...]:
        """The fields that are given and a span may have from its ancestors only."""
        return tuple(name for name, _ in self.given if name in CONTEXT)


ON_SUBJECTS = {"customer": "customer_id", "session": "session_id", "span": "span_name", "kind": "span_kind"}
"""Fields of a filter that have another name on subjects and scores."""


PROMPT_TIMEOUT_S = 60.0
"""Of prompts that set none: models take longer than code."""


class Online(Strict):
    """Where a scorer runs by itself."""

    target: Literal["span", "trace", "example"] = "span"
    filter: Filter = Filter()
    sampling_rate: Rate = 1.0


class ScorerSpec(Strict):
    """What judges, and where it runs by itself; examples name their scorers."""

    type: Name = Field(description="contains, regex, latency, ...")
    with_: dict[str, Any] = Field(default={}, alias="with", description="the settings of the type")
    threshold: float | None = Field(default=None, description="a value below it fails; none: outcome `scored`")
    enabled: bool = True
    timeout: float = Field(default=5.0, gt=0, le=600, description="seconds for one subject; prompt: 60 for one answer")
    concurrency: int = Field(default=16, ge=1, le=1000)
    online: tuple[Online, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _time_to_think(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("type") == "prompt":
            return {"timeout": PROMPT_TIMEOUT_S, **given}
        return given


class Scorer(Base):
    """A scorer."""

    kind: Literal["Scorer"]
    spec: ScorerSpec
