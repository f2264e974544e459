"""Examples as a scorer sees them: fields are attributes (`example.request`) and items (`example["request"]`)."""

from vedette.model import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    from vedette.model import Any

OWN = frozenset(("example_id", "created_at", "name", "trace"))
"""Fields that describe the record and are not judged."""


class Trace:
    """A whole trace: `input` and `output` of its root, and its spans as mappings, in the order of their start."""

    def __init__(self, spans: list[dict[str, Any]] | None = None, **fields: Any) -> None:
        self.spans = spans or []
        self.input: Any = None
        self.output: Any = None
        self.__dict__.update(fields)

    @property
    def trace_spans(self) -> list[dict[str, Any]]:
        """The spans, by judgeval's name for them."""
        return self.spans

    def __iter__(self) -> Any:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)


class Example(Model):
    """A record of an agent's own fields. Derive a class that names them, or take them as they come."""

    example_id: str = ""
    created_at: str = ""
    name: str | None = None
    trace: Any = None

    @classmethod
    def create(cls, **fields: Any) -> "Example":
        """Returns an example with these fields."""
        return cls(**fields)

    @property
    def properties(self) -> dict[str, Any]:
        """The fields that are judged."""
        return self.get_fields()

    def get_fields(self) -> dict[str, Any]:
        """Returns what is judged: all fields but the record's own."""
        return {name: value for name, value in self._all().items() if name not in OWN}

    def to_dict(self) -> dict[str, Any]:
        """Returns all fields but the trace."""
        return {name: value for name, value in self._all().items() if name != "trace"}

    def _all(self) -> dict[str, Any]:
        return {**self.__dict__, **(getattr(self, "__pydantic_extra__", None) or {})}

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all()
