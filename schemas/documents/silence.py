"""`kind: Silence`."""

from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.documents.base import Base, Name, Strict
from schemas.documents.rule import Severity


class SilenceSpec(Strict):
    """Alerts that nobody is told about for a while. Every matcher that is given must match."""

    rule: Name | None = None
    group: dict[str, str] = Field(default={}, description="values of group_by, such as {agent: Clerk}")
    severity: Severity | None = None
    destination: Name | None = Field(default=None, description="keeps quiet only there")
    starts: AwareDatetime | None = Field(default=None, description="default: as soon as it is applied")
    ends: AwareDatetime
    reason: str = Field(min_length=1, max_length=500)
    by: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _some_matcher(self) -> Self:
        if not (self.rule or self.group or self.severity or self.destination):
            raise ValueError(
                "a silence needs one of rule, group, severity and destination, or it would hide everything"
            )
        if self.starts is not None and self.ends <= self.starts:
            raise ValueError("`ends` must be later than `starts`")
        return self

    @property
    def ends_ms(self) -> int:
        """When it is over, milliseconds."""
        return round(self.ends.timestamp() * 1000)

    def holds(self, at_ms: int) -> bool:
        """Tells whether it holds at a time in milliseconds."""
        begun = self.starts is None or round(self.starts.timestamp() * 1000) <= at_ms
        return begun and at_ms < self.ends_ms


class Silence(Base):
    """A silence."""

    kind: Literal["Silence"]
    spec: SilenceSpec
