"""The base of every record on our topics, and the Avro schema that is derived from it.

A record is a frozen pydantic model; its Avro schema is computed from the same annotations, so the two cannot drift apart.
`schemas/avro/*.avsc` publishes what is computed here, and a test compares the two.
"""

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict

AvroSchema = dict[str, Any]

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Records, topics, producers and consumers take 16 MiB: a Collector packs 4 MB into one record and drops it for good when it is refused."""

MAX_CHUNK_BYTES = 4 * 1024 * 1024
"""No record after the normaliser is larger; longer texts are cut and marked, larger chunks are split."""


class Record(BaseModel):
    """A frozen value that travels on a topic. Fields without a default can never be removed (FULL_TRANSITIVE)."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    namespace: ClassVar[str] = "vedette"

    @classmethod
    def trusted(cls, values: Mapping[str, Any]) -> Self:
        """Builds a record from values that were validated before (the codec's, after Avro has checked their types)."""
        record = cls.__new__(cls)
        object.__setattr__(record, "__dict__", values)
        object.__setattr__(record, "__pydantic_fields_set__", _field_names(cls))
        object.__setattr__(record, "__pydantic_extra__", None)
        object.__setattr__(record, "__pydantic_private__", None)
        return record


@cache
def _field_names(cls: type[Record]) -> set[str]:
    """One set for all: records are frozen, nobody adds to it."""
    return set(cls.model_fields)


def avro_schema(cls: type[Record]) -> AvroSchema:
    """Returns the Avro schema of a record as JSON data; a nested record is spelled out at its first use."""
    return _record(cls, set())


def _record(cls: type[Record], named: set[str]) -> AvroSchema:
    named.add(cls.__name__)
    fields = []
    for name, info in cls.model_fields.items():
        field: AvroSchema = {"name": name, "type": _type(info.annotation, named)}
        if not info.is_required():
            field["default"] = _default(info.get_default(call_default_factory=True))
        if info.description:
            field["doc"] = info.description
        fields.append(field)
    return {"type": "record", "name": cls.__name__, "namespace": cls.namespace, "fields": fields}


_PRIMITIVES: dict[Any, str] = {str: "string", bool: "boolean", int: "long", float: "double", bytes: "bytes"}


def _type(annotation: Any, named: set[str]) -> Any:
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:  # an Avro enum could not grow under FULL_TRANSITIVE
        return "string"
    if origin is tuple and args[1:] == (Ellipsis,):
        return {"type": "array", "items": _type(args[0], named)}
    if origin is dict and args[0] is str:
        return {"type": "map", "values": _type(args[1], named)}
    if origin in (Union, types.UnionType) and args[1:] == (type(None),):
        return ["null", _type(args[0], named)]
    if isinstance(annotation, type) and issubclass(annotation, Record):
        full_name = f"{annotation.namespace}.{annotation.__name__}"
        return full_name if annotation.__name__ in named else _record(annotation, named)
    raise TypeError(f"a record's field cannot be of type {annotation!r}")


def _default(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if value in ((), {}):
        return [] if value == () else {}
    if isinstance(value, bytes):
        return value.decode("latin-1")  # how Avro writes the default of a bytes field
    raise TypeError(f"a record's field cannot default to {value!r}")
