"""Values as they are now, bounded, and without running a line of their owner's code: no `repr`, no property, no `__iter__`.

A caller may change what it handed over as soon as its call goes on, so a container is copied at once. Texts and numbers cannot
change and are kept by reference. What comes out is JSON's types alone, which another thread may write later.
"""

import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import types
import uuid
from collections.abc import Iterable
from itertools import islice
from typing import Any

from vedette.redact import MASK, is_secret

TEXT_CHARS = 256 * 1024
"""of one text, and of all texts of one value together"""

NODES = 20_000
"""objects, arrays, texts and numbers of one value"""

DEPTH = 32
KEY_CHARS = 256
INT_BITS = 64

NOTHING: Any = object()
"""stands where no value was kept: None is one"""

_PLAIN = frozenset(
    (
        *(dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone),
        *(decimal.Decimal, uuid.UUID, pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath),
    )
)
"""types of the standard library whose text is short, quick and safe"""

_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    type,
    types.CoroutineType,
    types.GeneratorType,
)


class Frozen:
    """Freezes the parts of one value within one budget."""

    __slots__ = ("chars", "nodes", "path")

    def __init__(self, chars: int = TEXT_CHARS, nodes: int = NODES) -> None:
        self.chars = chars
        self.nodes = nodes
        self.path: list[int] = []

    def of(self, value: Any) -> Any:
        """Returns a copy of the value in JSON's types; what is too long is cut with a marker, what cannot be read is named by its type."""
        kind = type(value)
        self.nodes -= 1
        if kind is str:
            left = self.chars - len(value)
            if left >= 0:
                self.chars = left
                return value
            return self._cut(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if value.bit_length() < INT_BITS else _large(value)
        if kind is float:
            return value if math.isfinite(value) else str(value)
        try:
            return self._container(value, kind)
        except Exception:
            return f"<{kind.__name__}>"

    def _cut(self, text: str) -> str:
        """Inside a container it leaves half of the room to what comes after it."""
        shown = cut(text, max(self.chars // 2 if self.path else self.chars, 0))
        self.chars -= len(shown)
        return shown

    def _container(self, value: Any, kind: type) -> Any:
        if len(self.path) >= DEPTH or self.nodes <= 0:
            return f"<{kind.__name__}: too deep or too large to show>"
        if id(value) in self.path:
            return f"<{kind.__name__}: contains itself>"
        self.path.append(id(value))
        try:
            return self._inner(value, kind)
        finally:
            self.path.pop()

    def _inner(self, value: Any, kind: type) -> Any:  # noqa: C901 - one line for each kind of value
        if isinstance(value, enum.Enum):
            return self.of(value._value_)
        if isinstance(value, dict):
            return self.mapping(value)
        if isinstance(value, list):
            return self._sequence(list.__getitem__(value, slice(self.nodes + 1)), list.__len__(value))
        if isinstance(value, tuple):
            taken = tuple.__getitem__(value, slice(self.nodes + 1))
            names = getattr(kind, "_fields", None)
            return (
                self.mapping(dict(zip(names, taken, strict=True)))
                if names
                else self._sequence(taken, tuple.__len__(value))
            )
        if isinstance(value, set):
            return self._sequence(islice(set.__iter__(value), self.nodes + 1), set.__len__(value))
        if isinstance(value, frozenset):
            return self._sequence(islice(frozenset.__iter__(value), self.nodes + 1), frozenset.__len__(value))
        if isinstance(value, str):
            return self.of(str.__getitem__(value, slice(None)))
        if isinstance(value, int):
            return self.of(int.__add__(value, 0))
        if isinstance(value, float):
            return self.of(float.__add__(value, 0.0))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        return str(value) if kind in _PLAIN else self._object(value, kind)

    def _sequence(self, taken: Iterable[Any], length: int) -> list[Any]:
        shown = []
        for one in taken:
            if self.nodes <= 0 or self.chars <= 0:
                break
            shown.append(self.of(one))
        if len(shown) < length:
            shown.append(f"[… cut: {length - len(shown)} more …]")
        return shown

    def mapping(self, value: dict[Any, Any]) -> dict[str, Any]:
        """Returns a copy of a mapping; the values of keys that name a secret are masked."""
        length = dict.__len__(value)
        shown: dict[str, Any] = {}
        for key, one in list(islice(dict.items(value), self.nodes + 1)):
            if self.nodes <= 0 or self.chars <= 0:
                shown["…"] = f"[… cut: {length - len(shown)} more …]"
                break
            name = key if type(key) is str else _key(key)
            name = name if len(name) <= KEY_CHARS else cut(name, KEY_CHARS)
            self.chars -= len(name)
            shown[name] = MASK if is_secret(name) else self.of(one)
        return shown

    def _object(self, value: Any, kind: type) -> Any:
        if isinstance(value, BaseException):
            words = _words(value, self.chars)
            return f"{kind.__name__}: {words}" if words else kind.__name__
        if isinstance(value, _CODE):
            return f"<{kind.__name__} {getattr(value, '__qualname__', kind.__name__)}>"
        names = getattr(kind, "__dataclass_fields__", None)
        if names is not None:
            held = {name: object.__getattribute__(value, name) for name in names}
            return self.mapping({name: one for name, one in held.items() if name[:1] != "_"})
        held = _public(value)
        if hasattr(kind, "__pydantic_fields__"):
            return self.mapping(held)
        return {f"<{kind.__name__}>": self.mapping(held)} if held else f"<{kind.__name__}>"


def freeze(value: Any) -> Any:
    """Returns a bounded copy of any value in JSON's types."""
    return Frozen().of(value)


def dump(frozen: Any) -> str:
    """Returns a frozen value as text: a text as it is, anything else as JSON."""
    return frozen if type(frozen) is str else json.dumps(frozen, ensure_ascii=False, separators=(",", ":"))


def cut(text: str, room: int) -> str:
    r"""Returns the head and the tail of a text, about `room` characters, and between them how much it was.

    >>> cut("0123456789" * 10, 40)
    '012345678\n[… cut: 100 characters …]\n6789'
    """
    marker = f"\n[… cut: {len(text)} characters …]\n"
    kept = max(room - len(marker), 0)
    tail = kept // 3
    return text[: kept - tail] + marker + text[len(text) - tail :]


def _public(value: Any) -> dict[str, Any]:
    held: dict[str, Any] = {}
    try:
        held.update(object.__getattribute__(value, "__dict__"))
        held.update(object.__getattribute__(value, "__pydantic_extra__") or {})
    except AttributeError:
        pass
    return {name: one for name, one in held.items() if type(name) is str and name[:1] != "_"}


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key._value_
    if isinstance(key, str):
        return str.__getitem__(key, slice(None))
    if key is None or type(key) in (bool, float):
        return str(key)
    if isinstance(key, int):
        return str(_large(int.__add__(key, 0)))
    return str(key) if type(key) in _PLAIN else f"<{type(key).__name__}>"


def _large(number: int) -> int | str:
    if number.bit_length() < INT_BITS:
        return number
    return str(number) if number.bit_length() <= 1024 else f"<int of {number.bit_length()} bits>"


def _words(error: BaseException, room: int) -> str:
    """What an exception says: by Python's own `str`, unless that would run code of the exception's class or of its arguments."""
    args = BaseException.__getattribute__(error, "args")
    if not isinstance(type(error).__str__, types.FunctionType) and all(type(one) in _SCALARS for one in args):
        told = str(error)
    else:
        told = ", ".join(dump(freeze(one)) for one in args)
    return told if len(told) <= room else cut(told, room)


_SCALARS = frozenset((str, int, float, bool, type(None)))
