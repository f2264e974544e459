"""Records in and out: Avro single-object encoding, and the writer schemas of everybody else.

A payload is C3 01, the CRC-64-AVRO fingerprint of the writer's schema (8 bytes, little-endian) and the Avro body
(Avro 1.12 specification, "Single-object encoding"). Writer schemas travel on `vedette.schemas`.
"""

import io
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_args

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.record import AvroSchema, Record, avro_schema

R = TypeVar("R", bound=Record)

MARKER = b"\xc3\x01"
_HEADER = len(MARKER) + 8


class Undecodable(ValueError):
    """The bytes can never become the record: they belong on `vedette.dlq`."""


class UnknownSchema(LookupError):
    """The writer's schema has not been seen yet: read `vedette.schemas` on and try again."""

    def __init__(self, fingerprint_hex: str) -> None:
        super().__init__(f"no writer schema {fingerprint_hex} on vedette.schemas yet")
        self.fingerprint_hex = fingerprint_hex


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
    parsed: AvroSchema = parse_schema(json.loads(schema))  # type: ignore[assignment]  # ours are records
    return parsed


@cache
def _prefix(cls: type[Record]) -> bytes:
    return MARKER + bytes.fromhex(fingerprint_of(schema_text(cls)))


def encode(record: Record) -> bytes:
    """Returns a record as Avro single-object bytes."""
    out = io.BytesIO()
    cls = type(record)
    out.write(_prefix(cls))
    schemaless_writer(out, _parsed(cls), _values(record))
    return out.getvalue()


class Schemas:
    """The writer schemas known to this process, by fingerprint. A reader's own schemas need no topic."""

    def __init__(self) -> None:
        self._writers: dict[bytes, AvroSchema] = {}

    def add(self, schema: str) -> None:
        """Makes a writer schema known, from its JSON text."""
        self._writers[bytes.fromhex(fingerprint_of(schema))] = _parse(schema)

    def knows(self, fingerprint_hex: str) -> bool:
        """Tells whether a writer schema has been added."""
        return bytes.fromhex(fingerprint_hex) in self._writers

    def decode(self, cls: type[R], data: bytes) -> R:
        """Returns the record in `data`, read by the schema it was written with.

        Raises:
            UnknownSchema: the writer's schema has not been added yet.
            Undecodable: the bytes are no such record.

        """
        if data[:2] != MARKER or len(data) < _HEADER:
            raise Undecodable(f"not Avro single-object encoding: begins with {data[:10].hex() or 'nothing'}")
        body = io.BytesIO(data)
        body.seek(_HEADER)
        try:
            if data[:_HEADER] == _prefix(cls):
                values = schemaless_reader(body, _parsed(cls), None)
            else:
                values = schemaless_reader(body, self._written_as(cls, data[2:_HEADER]), _parsed(cls))
        except (UnknownSchema, Undecodable):
            raise
        except Exception as error:  # fastavro raises whatever the damaged bytes lead it into
            raise Undecodable(f"not a {cls.__name__}: {type(error).__name__}: {error}") from error
        if body.read(1):
            raise Undecodable(f"not a {cls.__name__}: {len(data)} bytes, more than the record needs")
        return _build(cls, cast("dict[str, Any]", values))

    def _written_as(self, cls: type[Record], fingerprint_bytes: bytes) -> AvroSchema:
        writer = self._writers.get(fingerprint_bytes)
        if writer is None:
            raise UnknownSchema(fingerprint_bytes.hex())
        if writer["name"] != f"{cls.namespace}.{cls.__name__}":
            raise Undecodable(f"not a {cls.__name__} but a {writer['name']}")
        return writer


def _values(record: Record) -> Mapping[str, Any]:
    """Fastavro reads a record's own dictionary: no copy unless records are nested in it."""
    nested = _nested(type(record))
    if not nested:
        return record.__dict__
    return {**record.__dict__, **{name: write(getattr(record, name)) for name, (write, _) in nested.items()}}


def _build(cls: type[R], values: dict[str, Any]) -> R:
    for name, (_, read) in _nested(cls).items():
        values[name] = read(values[name])
    return cls.trusted(values)


Converter = Callable[[Any], Any]


@cache
def _nested(cls: type[Record]) -> dict[str, tuple[Converter, Converter]]:
    """Returns, for the fields that hold records or tuples, how to write and how to read them."""
    found: dict[str, tuple[Converter, Converter]] = {}
    for name, info in cls.model_fields.items():
        inner = next((a for a in (info.annotation, *get_args(info.annotation)) if _is_record(a)), None)
        many = getattr(info.annotation, "__origin__", None) is tuple
        if inner and many:
            found[name] = (_write_many, _read_many(inner))
        elif inner:
            found[name] = (_write_one, _read_one(inner))
        elif many:
            found[name] = (_same, tuple)
    return found


def _is_record(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Record)


def _same(value: Any) -> Any:
    return value


def _write_one(record: Record | None) -> Mapping[str, Any] | None:
    return None if record is None else _values(record)


def _write_many(records: tuple[Record, ...]) -> list[Mapping[str, Any]]:
    return [_values(record) for record in records]


def _read_one(cls: type[Record]) -> Converter:
    return lambda values: None if values is None else _build(cls, values)


def _read_many(cls: type[Record]) -> Converter:
    return lambda many: tuple(_build(cls, values) for values in many)
