"""No secret leaves, and no text is longer than allowed: the last step before a span is stored."""

from operator import itemgetter
from typing import Any

from schemas.otlp.cut import cut_text
from schemas.otlp.mask import mask, suspicious

NAME_LIMIT = 512
"""bytes that a name, an id, a tag or an attribute's key may take"""

MAX_TAGS = 64

ATTRS_TEXTS = 4
"""All attributes of a span together may take as much as four texts; the ones after are left out, and `cut` says so."""

NAMES = (
    "agent",
    "agent_instance",
    "agent_id",
    "parent_agent_id",
    "agent_version",
    "session_id",
    "customer_id",
    "environment",
    "service",
    "model",
    "provider",
    "operation",
    "tool_name",
)
"""The fields of a span that hold short names."""

_SHORT = ("name", *NAMES)
_LONG = ("input", "output", "events", "status_message")
_TEXTS = ("name", *_LONG)
_names_of = itemgetter(*_SHORT)
_texts_of = itemgetter(*_TEXTS)


def safe(values: dict[str, Any], limit: int, name_chars: int, longest_name: int) -> dict[str, Any]:
    """Returns a span's values without secrets and without too long a text.

    Most spans have neither, and one look at all their texts together tells. Secrets are masked before texts are cut: a cut
    through a secret would hide it from the mask. Of the attributes' names only their characters and the longest are asked.
    """
    texts = [*values["attrs"].values(), *filter(None, _texts_of(values))]
    together = "\n".join(texts)
    if suspicious(together):
        _mask_all(values)
    if 4 * (len(together) + name_chars) > limit or 4 * longest_name > NAME_LIMIT or _has_long_name(values):
        _shorten(values, limit)
    return values


def _has_long_name(values: dict[str, Any]) -> bool:
    names = _names_of(values) + values["tags"]
    return len(names) > len(_SHORT) + MAX_TAGS or (
        4 * len("".join(names)) > NAME_LIMIT and 4 * max(map(len, names)) > NAME_LIMIT
    )


def _mask_all(values: dict[str, Any]) -> None:
    for name in (*NAMES, *_TEXTS):
        if values[name]:
            values[name] = mask(values[name])
    values["attrs"] = masked(values["attrs"])
    values["tags"] = tuple(map(mask, values["tags"]))


def masked(attrs: dict[str, str]) -> dict[str, str]:
    """Returns the attributes with every text masked."""
    return {key: mask(text) for key, text in attrs.items()}


def _shorten(values: dict[str, Any], limit: int) -> None:
    cut: list[str] = []
    for name in _SHORT:
        if len(values[name]) * 4 > NAME_LIMIT:
            values[name] = _cut(name, values[name], NAME_LIMIT, cut)
    for name in _LONG:
        if values[name]:
            values[name] = _cut(name, values[name], limit, cut)
    if values["tags"]:
        values["tags"] = tuple(cut_text(tag, NAME_LIMIT)[0] for tag in values["tags"][:MAX_TAGS])
    values["attrs"] = shortened(values["attrs"], limit, ATTRS_TEXTS * limit, cut)
    values["cut"] = tuple(cut)


def _cut(field: str, text: str, limit: int, cut: list[str]) -> str:
    shorter, was_cut = cut_text(text, limit)
    if was_cut:
        cut.append(field)
    return shorter


def shortened(attrs: dict[str, str], limit: int, room: int, cut: list[str]) -> dict[str, str]:
    """Returns the attributes that fit in `room` bytes, each no longer than `limit`."""
    characters = sum(map(len, attrs)) + sum(map(len, attrs.values()))
    if characters * 4 <= limit and max(map(len, attrs), default=0) * 4 <= NAME_LIMIT:
        return attrs
    kept = {}
    for key, text in attrs.items():
        name = cut_text(key, NAME_LIMIT)[0]
        kept[name] = _cut(f"attrs.{name}", text, limit, cut)
        room -= len((name + kept[name]).encode())
        if room < 0:
            del kept[name]
            cut.append("attrs")
            break
    return kept
