"""Examples: what is judged beside spans, as records of an agent's own fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from vedette.ids import uuid7

OWN = frozenset(("example_id", "created_at", "name"))
"""fields that describe the record and are not judged"""


class Example(BaseModel):
    """A record for evaluation. Give it any fields, or derive a class that names them.

    class CustomerRequest(Example):
        request: str
        response: str
    """

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    example_id: str = Field(default_factory=uuid7)
    created_at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat())
    name: str | None = None

    if TYPE_CHECKING:  # it takes any field, which pydantic tells nobody

        def __init__(
            self, *, example_id: str = ..., created_at: str = ..., name: str | None = None, **fields: Any
        ) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    def get_fields(self) -> dict[str, Any]:
        """Returns what is judged: all fields but the record's id, time and name."""
        own = {name: value for name, value in self.__dict__.items() if name not in OWN}
        return {**own, **self.__pydantic_extra__} if self.__pydantic_extra__ else own

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields in JSON's types."""
        return self.model_dump(mode="json", warnings=False)
