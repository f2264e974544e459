"""FULL_TRANSITIVE: every version of a record's schema reads what every other one wrote."""

from collections.abc import Iterator
from typing import Any

from fastavro.schema import expand_schema

from schemas.record import AvroSchema


def conflicts(old: AvroSchema, new: AvroSchema) -> list[str]:
    """Returns what keeps readers and writers of two versions apart: fields with a default come and go, all else stays.

    Stricter than the resolution rules of Avro 1.12 only in that no type is promoted: a promotion works in one direction.
    """
    return list(_conflicts(expand_schema(old), expand_schema(new), str(new["name"])))


def _conflicts(old: Any, new: Any, at: str) -> Iterator[str]:
    if _kind(old) != _kind(new):
        yield f"{at} was {_kind(old)} and is {_kind(new)}"
    elif isinstance(new, list):
        yield from _conflicts(old[-1], new[-1], at)
    elif isinstance(new, dict) and "fields" in new:
        yield from _fields(old, new, at)
    elif isinstance(new, dict):
        for part in ("items", "values"):
            if part in new:
                yield from _conflicts(old[part], new[part], at)


def _fields(old: AvroSchema, new: AvroSchema, at: str) -> Iterator[str]:
    before, after = ({field["name"]: field for field in schema["fields"]} for schema in (old, new))
    for name, field in after.items():
        if name in before:
            yield from _conflicts(before[name]["type"], field["type"], f"{at}.{name}")
        elif "default" not in field:
            yield f"{at}.{name} is new and has no default"
    for name in before.keys() - after.keys():
        if "default" not in before[name]:
            yield f"{at}.{name} is gone and had no default"


def _kind(schema: Any) -> str:
    """How people name a type; of a union with what may be absent, and of a record with its name."""
    if isinstance(schema, list):
        return " or ".join(_kind(branch) for branch in schema)
    if isinstance(schema, dict):
        return f"the record {schema['name']}" if "fields" in schema else str(schema["type"])
    return str(schema)
