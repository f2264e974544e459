"""Records in and out: framed Avro, and the writer schemas of everybody else.

A frame names the writer's schema; the Avro body follows it, or is the whole payload when the frame stands in a record header.

* C3 01 and the CRC-64-AVRO fingerprint of the schema (8 bytes, little-endian): Avro 1.12, "Single-object encoding". Writer schemas travel
  on `vedette.schemas`. What we write when there is no schema registry.
* 00 and the schema's id (4 bytes, big-endian): the prefix of Confluent's schema registry. What we write when there is one.
* 01 and the schema's GUID (16 bytes): the same registry's newer form, in the header `__value_schema_id`.
"""

import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast, get_args
from uuid import UUID

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.avro_writer import compiled
from schemas.record import AvroSchema, Record, avro_schema

R = TypeVar("R", bound=Record)

MARKER = b"\xc3\x01"
SCHEMA_HEADER = "__value_schema_id"
"""The record header in which Confluent's serializers put the frame of a value."""
ID_BYTES = 1 + 4
"""Of the frame that holds a registry's id."""
_LENGTHS = {MARKER[:1]: len(MARKER) + 8, b"\x00": ID_BYTES, b"\x01": 1 + 16}
"""Of a frame, by its first byte."""

Frame = bytes


class Undecodable(ValueError):
    """The bytes can never become the record: they belong on `vedette.dlq`."""


class UnknownSchema(LookupError):
    """The writer's schema has not been seen yet: read `vedette.schemas` on, or ask the registry, and try again."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(f"the writer's schema is not known yet: {described(frame)}")
        self.frame = frame

    @property
    def fingerprint_hex(self) -> str:
        """The fingerprint of a single-object frame in hex; empty when the schema is a registry's."""
        return self.frame[len(MARKER) :].hex() if self.frame.startswith(MARKER) else ""


def described(frame: Frame) -> str:
    """Returns how people name the schema that a frame names."""
    if frame[:1] == b"\x00":
        return f"id {int.from_bytes(frame[1:], 'big')} of the schema registry"
    if frame[:1] == b"\x01":
        return f"GUID {UUID(bytes=frame[1:])} of the schema registry"
    return f"fingerprint {frame[len(MARKER) :].hex()} on vedette.schemas"


@cache
def schema_text(cls: type[Record]) -> str:
    """Returns the JSON text of a record's Avro schema."""
    return json.dumps(avro_schema(cls))


@cache
def fingerprint_of(schema: str) -> str:
    """Returns the CRC-64-AVRO fingerprint of a schema's text in hex, in the byte order in which payloads carry it."""
    return str(fingerprint(to_parsing_canonical_form(json.loads(schema)), "CRC-64-AVRO"))


@cache
def _parsed(cls: type[Record]) -> AvroSchema:
    return cast("AvroSchema", _with_bytes_defaults(_parse(schema_text(cls))))


def _with_bytes_defaults(schema: Any) -> Any:
    """Fastavro hands the default of a bytes field out as it stands in the schema: as text."""
    if isinstance(schema, dict):
        if schema.get("type") == "bytes" and isinstance(schema.get("default"), str):
            schema["default"] = schema["default"].encode("latin-1")
        for part in (schema.get("type"), schema.get("items"), *schema.get("fields", ())):
            _with_bytes_defaults(part)
    for branch in schema if isinstance(schema, list) else ():
        _with_bytes_defaults(branch)
    return schema


def _parse(schema: str) -> AvroSchema:
    parsed = parse_schema(json.loads(schema))
    if not isinstance(parsed, dict) or "name" not in parsed:
        raise ValueError(f"not the schema of a record: {schema[:80]}")
    return parsed


@cache
def fingerprint_frame(cls: type[Record]) -> Frame:
    """Returns the single-object frame of a record's own schema."""
    return MARKER + bytes.fromhex(fingerprint_of(schema_text(cls)))


_frames: dict[type[Record], Frame] = {}
"""Of records that this process writes through a registry; the others go in single-object encoding."""


def write_as(cls: type[Record], frame: Frame) -> None:
    """Makes `encode` put this frame before records of a class from now on: said once, at the start of a process."""
    _frames[cls] = frame


def encode(record: Record) -> bytes:
    """Returns a record as framed Avro. Everything of ours that becomes a payload goes through here."""
    cls = type(record)
    return (_frames.get(cls) or fingerprint_frame(cls)) + _writer(cls)(record)


@cache
def _writer(cls: type[Record]) -> Callable[[Record], bytes]:
    return compiled(avro_schema(cls))


class Schemas:
    """The writer schemas known to this process, by frame. A reader's own schemas need no topic."""

    def __init__(self) -> None:
        self._writers: dict[Frame, AvroSchema] = {}
        self._refused: dict[Frame, str] = {}
        self._resolved: dict[tuple[type[Record], Frame], tuple[AvroSchema, AvroSchema | None]] = {}

    def add(self, schema: str, frame: Frame = b"") -> None:
        """Makes a writer schema known, from its JSON text, under its fingerprint or another frame."""
        self._writers[frame or MARKER + bytes.fromhex(fingerprint_of(schema))] = _parse(schema)

    def refuse(self, frame: Frame, reason: str) -> None:
        """Makes every record with this frame undecodable: nobody will ever tell its schema."""
        self._refused[frame] = reason

    def settled(self, frame: Frame) -> bool:
        """Tells whether a writer schema has been added or refused."""
        return frame in self._writers or frame in self._refused

    def decode(self, cls: type[R], data: bytes, header: Frame = b"") -> R:
        """Returns the record in `data`, read by the schema it was written with; `header` is the record's `__value_schema_id`.

        Raises:
            UnknownSchema: the writer's schema has not been added yet.
            Undecodable: the bytes are no such record.

        """
        frame = header or data[: _LENGTHS.get(data[:1], 0)]
        writer, reader = self._resolved.get((cls, frame)) or self._resolve(cls, frame, data)
        body = io.BytesIO(data)
        body.seek(0 if header else len(frame))
        try:
            values = schemaless_reader(body, writer, reader)
        except Exception as error:  # fastavro raises whatever the damaged bytes lead it into
            raise Undecodable(f"not a {cls.__name__}: {type(error).__name__}: {error}") from error
        if body.read(1):
            raise Undecodable(f"not a {cls.__name__}: {len(data)} bytes, more than the record needs")
        return _build(cls, cast("dict[str, Any]", values))

    def _resolve(self, cls: type[Record], frame: Frame, data: bytes) -> tuple[AvroSchema, AvroSchema | None]:
        """Returns the writer's schema and the reader's, None when they are the same; once per class and frame."""
        if len(frame) != _LENGTHS.get(frame[:1]) or (frame[:1] == MARKER[:1] and frame[:2] != MARKER):
            begins = (frame or data[:10]).hex() or "nothing"
            raise Undecodable(f"neither Avro single-object encoding nor a schema registry's: begins with {begins}")
        writer = self._written_as(cls, frame)
        pair = (writer, None if writer is _parsed(cls) else _parsed(cls))
        self._resolved[cls, frame] = pair
        return pair

    def _written_as(self, cls: type[Record], frame: Frame) -> AvroSchema:
        if frame == fingerprint_frame(cls):
            return _parsed(cls)
        if frame in self._refused:
            raise Undecodable(self._refused[frame])
        if frame not in self._writers:
            raise UnknownSchema(frame)
        writer = self._writers[frame]
        if writer["name"] != f"{cls.namespace}.{cls.__name__}":
            raise Undecodable(f"not a {cls.__name__} but a {writer['name']}")
        return _parsed(cls) if _canonical(writer) == _canonical(_parsed(cls)) else writer


def first_long(data: bytes) -> int:
    """Returns the first field of a record that stands behind its frame, when that field is a long: a variable-length zigzag number."""
    body = data[_LENGTHS[data[:1]] :]
    end = next(i for i, byte in enumerate(body) if byte < 0x80)
    number = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(body[: end + 1]))
    return (number >> 1) ^ -(number & 1)


def _canonical(parsed: AvroSchema) -> str:
    return str(to_parsing_canonical_form(parsed))


def _build(cls: type[R], values: dict[str, Any]) -> R:
    for name, read in _nested(cls).items():
        values[name] = read(values[name])
    return cls.trusted(values)


Converter = Callable[[Any], Any]


@cache
def _nested(cls: type[Record]) -> dict[str, Converter]:
    """Returns, for the fields that hold records or tuples, how to read them."""
    found: dict[str, Converter] = {}
    for name, info in cls.model_fields.items():
        inner = next((a for a in (info.annotation, *get_args(info.annotation)) if _is_record(a)), None)
        many = getattr(info.annotation, "__origin__", None) is tuple
        if inner:
            found[name] = _read_many(inner) if many else _read_one(inner)
        elif many:
            found[name] = tuple
    return found


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Record)


def _read_one(cls: type[Record]) -> Converter:
    return lambda values: None if values is None else _build(cls, values)


def _read_many(cls: type[Record]) -> Converter:
    return lambda many: tuple(_build(cls, values) for values in many)
