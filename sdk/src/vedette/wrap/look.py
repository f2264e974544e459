"""Looking into what providers send: their clients' models and plain JSON alike, of which any part may be missing."""

from collections.abc import Iterable
from typing import Any, TypeAlias

Attributes: TypeAlias = dict[str, Any]
"""Attributes of a span by name; None is not known, lists of dicts become JSON text."""


def look(value: Any, *path: str) -> Any:
    """Returns what stands at the end of a path of keys or attributes, None when it leads nowhere.

    >>> look({"usage": {"prompt_tokens": 3}}, "usage", "prompt_tokens")
    3
    """
    for name in path:
        value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return value


def many(value: Any) -> Iterable[Any]:
    """Returns the items of a list, none of anything else: an iterator belongs to its reader and stays unread."""
    return value if isinstance(value, list | tuple) else ()


def text_at(value: Any, *path: str) -> str | None:
    """Returns the text that `look` finds, None when it is none."""
    found = look(value, *path)
    return found if isinstance(found, str) else None


def count_at(value: Any, *path: str) -> int | None:
    """Returns the number of tokens that `look` finds, None when it is none."""
    found = look(value, *path)
    return found if type(found) is int else None


def number_at(value: Any, *path: str) -> float | None:
    """Returns the number that `look` finds, None when it is none."""
    found = look(value, *path)
    return found if type(found) in (int, float) else None


def plain(value: Any) -> Any:
    """Returns a client's model as JSON values, anything else as it is."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", exclude_none=True, warnings=False) if callable(dump) else value
