"""The base of examples and scorers: pydantic's model when the bundle's requirements bring pydantic, else a plain one without checks."""

from copy import deepcopy

try:
    from pydantic import BaseModel as _Base
    from pydantic import ConfigDict

    from typing import Any  # isort: skip

    class Model(_Base):
        """Takes further fields than its own."""

        model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)

except ImportError:
    Any = object  # type: ignore[misc,assignment]  # typing would be a tenth of an idle sandbox's memory

    class Model:  # type: ignore[no-redef]
        """Fields are a class's annotations, with their defaults; it takes further ones, and checks no types."""

        def __init__(self, **given: Any) -> None:
            for name, default in fields_of(type(self)).items():
                if name in given:
                    continue
                if default is REQUIRED:
                    raise TypeError(f"{type(self).__name__}: field {name!r} is required")
                setattr(self, name, deepcopy(default))
            self.__dict__.update(given)
            self.model_post_init(None)

        def model_post_init(self, context: Any, /) -> None:
            """Runs after every field is set."""

        def model_dump(self, **_: Any) -> dict[str, Any]:
            """Returns all fields."""
            return dict(self.__dict__)

        def __repr__(self) -> str:
            told = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
            return f"{type(self).__name__}({told})"

        def __eq__(self, other: object) -> bool:
            return type(self) is type(other) and self.__dict__ == other.__dict__

        __hash__ = None  # type: ignore[assignment]


REQUIRED = object()


def fields_of(cls: type) -> dict[str, Any]:
    """Returns the fields of a class in order, with their defaults; `REQUIRED` for one that has none."""
    known = getattr(cls, "model_fields", None)
    if known is not None:
        return {
            name: REQUIRED if one.is_required() else one.get_default(call_default_factory=True)
            for name, one in known.items()
        }
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, annotation in getattr(base, "__annotations__", {}).items():
            if not name.startswith("_") and not _is_of_class(annotation):
                found[name] = base.__dict__.get(name, REQUIRED)
    return found


def _is_of_class(annotation: Any) -> bool:
    return str(annotation).removeprefix("typing.").startswith("ClassVar")
