"""What all documents share."""

import re
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from schemas.ids import hashed


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


def _name(text: str) -> str:
    if not text.strip() or len(text) > 200 or re.search(r"[@/\x00-\x1f\x7f]", text):
        raise ValueError(f"{text!r} cannot be a name: use 1 to 200 characters without @, / and control characters")
    return text


Name = Annotated[str, AfterValidator(_name)]

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(value: object) -> int:
    """Returns milliseconds of a text such as `5m`, `90s`, `1h30m`; a number counts seconds."""
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is no duration; write for example 5m, 90s or 1h")
    if isinstance(value, int | float):
        return round(value * 1000)
    parts = re.findall(r"(\d+)\s*(ms|s|m|h|d)", str(value))
    if not parts or "".join(n + u for n, u in parts) != re.sub(r"\s", "", str(value)):
        raise ValueError(f"{value!r} is no duration; write for example 5m, 90s or 1h")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(ms: int) -> str:
    """Returns the shortest text that `parse_duration` reads back as `ms`.

    >>> format_duration(5_400_000)
    '1h30m'
    """
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    Field(ge=0, description="a duration such as 5m, 90s or 1h", json_schema_extra={"type": ["string", "number"]}),
]
"""Milliseconds, written as `5m`."""

Rate = Annotated[float, Field(ge=0, le=1)]


class EnvRef(Strict):
    """A secret by reference: only names that the operator allows for the project are resolved."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Metadata(Strict):
    """Names a document."""

    name: Name
    project: Name = "default"
    description: str = ""


class Base(Strict):
    """The outer form of every document."""

    api_version: Literal["vedette/v1"] = Field(alias="apiVersion")
    metadata: Metadata


def canonical_spec(spec: BaseModel) -> bytes:
    """Returns a spec's canonical JSON: sorted keys, defaults filled in, so that equal meaning is equal bytes."""
    return orjson.dumps(spec.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS)


def spec_version(spec: bytes) -> str:
    """Returns the version of a spec: 16 hex digits of the hash of its canonical JSON."""
    return hashed(spec.decode())[:16]
