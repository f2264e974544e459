"""Records to Avro's binary encoding (Avro 1.12, "Binary Encoding"): what fastavro writes, byte for byte, in a third of the time.

A record becomes many short pieces, which are joined once. They are gathered as characters below 256, one for each byte: a text of
ASCII is its own piece then, and nothing is copied before the join.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby
from operator import call, itemgetter
from struct import Struct
from typing import Any

Pieces = list[str]
Piece = Callable[[Any], str]
"""Returns the only piece of a simple value."""
Write = Callable[[Any, Pieces], None]
"""Adds the pieces of any value."""

_BITS = 14
_SHORT = 1 << _BITS
_LOW = _SHORT - 1

_ENDING = [chr(n) if n < 128 else chr(n & 127 | 128) + chr(n >> 7) for n in range(_SHORT)]
"""The last one or two bytes of a variable-length number."""
_MORE = [chr(n & 127 | 128) + chr(n >> 7 | 128) for n in range(_SHORT)]
"""Two bytes after which others follow."""
_LENGTH = _ENDING[::2]
"""Lengths are numbers that are never negative: their zig-zag form is the double."""

_DOUBLE = Struct("<d").pack
_END = "\0"
_NULL, _THERE = "\0", "\2"


def _number(number: int) -> str:
    """Zig-zag, then seven bits a byte, the lowest first."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    piece = ""
    while rest > _LOW:
        piece += _MORE[rest & _LOW]
        rest >>= _BITS
    return piece + _ENDING[rest]


def long(number: int) -> bytes:
    """Returns a number as Avro writes it."""
    return _number(number).encode("latin-1")


class _Texts(dict[str, str]):
    """The piece of each text. Short ones are remembered: names, models and keys of attributes come again and again."""

    def __missing__(self, text: str) -> str:
        narrow = text if text.isascii() else text.encode().decode("latin-1")
        size = len(narrow)
        piece = (_LENGTH[size] if size < len(_LENGTH) else _number(size)) + narrow
        if size <= _REMEMBERED_CHARS:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[text] = piece
        return piece


_REMEMBERED, _REMEMBERED_CHARS = 4096, 64
_text: Piece = _Texts().__getitem__


def _bytes(data: bytes) -> str:
    return _number(len(data)) + data.decode("latin-1")


def _double(number: float) -> str:
    return _DOUBLE(number).decode("latin-1")


_SIMPLE: dict[str, Piece] = {
    "string": _text,
    "long": _number,
    "boolean": {False: "\0", True: "\1"}.__getitem__,
    "double": _double,
    "bytes": _bytes,
}


def compiled(schema: Mapping[str, Any]) -> Callable[[Any], bytes]:
    """Returns a function that writes records of a schema as `schemas.record.avro_schema` makes them; types are not checked again."""
    write = _record(schema, {})

    def encoded(record: Any) -> bytes:
        pieces: Pieces = []
        write(record, pieces)
        return "".join(pieces).encode("latin-1")

    return encoded


def _record(schema: Mapping[str, Any], named: dict[str, Write]) -> Write:
    """Simple fields that stand beside each other are written together."""
    runs: list[tuple[Write, Callable[[Any], Any]]] = []
    for simple, fields in groupby(schema["fields"], key=lambda field: _piece(field["type"]) is not None):
        types = {field["name"]: field["type"] for field in fields}
        if simple and len(types) > 1:
            each = [piece for kind in types.values() if (piece := _piece(kind)) is not None]
            runs.append((_side_by_side(each), itemgetter(*types)))
        else:
            runs.extend((_writer(kind, named), itemgetter(name)) for name, kind in types.items())

    def fields_of(record: Any, pieces: Pieces) -> None:
        values = record.__dict__
        for write, taken in runs:
            write(taken(values), pieces)

    named[f"{schema['namespace']}.{schema['name']}"] = fields_of
    return fields_of


def _side_by_side(each: Sequence[Piece]) -> Write:
    return lambda values, pieces: pieces.extend(map(call, each, values))


def _piece(schema: Any) -> Piece | None:
    """None: it is no simple type."""
    if isinstance(schema, str):
        return _SIMPLE.get(schema)
    simple = _piece(schema[1]) if isinstance(schema, list) else None
    return simple and (lambda value: _NULL if value is None else _THERE + simple(value))


def _writer(schema: Any, named: dict[str, Write]) -> Write:
    piece = _piece(schema)
    if piece is not None:
        return lambda value, pieces: pieces.append(piece(value))
    if isinstance(schema, str):
        return named[schema]
    if isinstance(schema, list):
        return _optional(_writer(schema[1], named))
    if schema["type"] == "array":
        return _array(_writer(schema["items"], named))
    if schema["type"] == "map":
        return _map(_writer(schema["values"], named), _piece(schema["values"]))
    return _record(schema, named)


def _optional(write: Write) -> Write:
    def optional(value: Any, pieces: Pieces) -> None:
        pieces.append(_NULL if value is None else _THERE)
        if value is not None:
            write(value, pieces)

    return optional


def _array(write: Write) -> Write:
    def array(items: Any, pieces: Pieces) -> None:
        if items:
            pieces.append(_number(len(items)))
            for item in items:
                write(item, pieces)
        pieces.append(_END)

    return array


def _map(write: Write, piece: Piece | None) -> Write:
    def entries(pairs: Mapping[str, Any], pieces: Pieces) -> None:
        if pairs:
            pieces.append(_number(len(pairs)))
            if piece is _text:
                pieces.extend(map(_text, chain.from_iterable(pairs.items())))
            else:
                for key, value in pairs.items():
                    pieces.append(_text(key))
                    write(value, pieces)
        pieces.append(_END)

    return entries
