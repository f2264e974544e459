"""Records for the corpus, made from their classes: the same ones each time, and between them every kind of value."""

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from schemas.record import Record


@dataclass(frozen=True)
class _Style:
    """What stands in a field of a simple type, and how much in one that may hold less or more."""

    simple: Mapping[Any, Callable[[str], Any]]
    word: int
    """Which of a Literal's words."""
    items: int
    optional: bool
    """Whether fields with a default are filled in."""


_EDGE = {str: lambda _: "", int: lambda _: -(2**63), float: lambda _: -5e-324, bool: lambda _: False, bytes: lambda _: bytes(range(256))}  # fmt: skip
_FULL = {str: lambda name: f"{name} étrange 🦆", int: lambda _: 2**40 + 1, float: lambda _: 0.1, bool: lambda _: True, bytes: lambda _: b'{"a": [1, null]}'}  # fmt: skip

LEAST = _Style(_EDGE, word=0, items=0, optional=False)
EDGE = _Style(_EDGE, word=0, items=0, optional=True)
FULL = _Style(_FULL, word=-1, items=2, optional=True)


def examples(cls: type[Record]) -> list[Record]:
    """Returns the emptiest record of a class, one whose fields hold what is easily written wrong, and one with everything filled in."""
    return [cls.model_validate(_fields(cls, style)) for style in (LEAST, EDGE, FULL)]


def _fields(cls: type[Record], style: _Style) -> dict[str, Any]:
    taken = {name: info for name, info in cls.model_fields.items() if style.optional or info.is_required()}
    return {name: _value(info.annotation, name, style) for name, info in taken.items()}


def _value(kind: Any, name: str, style: _Style) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if kind in style.simple:
        return style.simple[kind](name)
    if origin is Literal:
        return args[style.word]
    if origin is tuple:
        return tuple(_value(args[0], name, style) for _ in range(style.items))
    if origin is dict:
        return {f"{name} {nth}": _value(args[1], name, style) for nth in range(style.items)}
    if origin in (Union, types.UnionType):
        return _value(args[0], name, style) if style.items else None
    return _fields(kind, style)
