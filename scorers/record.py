"""What a judge is shown of a subject: the fields that its prompt names, as JSON that can neither end early nor speak to the model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.otlp.cut import cut_text
from schemas.subject import Subject

NAMED = re.compile(r"\{\{\s*([A-Za-z_][\w-]*)[^{}]*\}\}")
"""A field as prompts name it: `{{output}}`, `{{ output }}`, `{{customer.name}}`."""
_LOOSELY = re.compile(r"(?<!\{)\{([A-Za-z_][\w-]*)\}(?!\})")
"""`{output}`: a field only if the subject has one of that name; prompts also show JSON and code."""

_SPEAKS = re.compile(r"<(?=[|<]|/?s>)|\[(?=/?INST\])")
"""Begins of tokens by which models of this kind or that tell who speaks."""
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
"""Characters that people do not see."""


@dataclass(frozen=True)
class Shown:
    """A subject's fields as text, and which of them were cut."""

    text: str
    cut: tuple[str, ...] = ()


def fields_of(prompt: str, subject: Subject) -> tuple[dict[str, Any], str]:
    """Returns the fields that a prompt names, all when it names none, and the first of them that the subject lacks, if any."""
    known: dict[str, Any] = orjson.loads(subject.fields)
    names = NAMED.findall(prompt) + [name for name in _LOOSELY.findall(prompt) if name in known]
    absent = next((name for name in names if known.get(name) is None), "")
    return ({name: known.get(name) for name in dict.fromkeys(names)} if names else known), absent


def shown(fields: Mapping[str, Any], most: int) -> Shown:
    """Returns fields as one JSON object of about `most` bytes: fields beyond their equal share are cut, head and tail kept."""
    share = most // max(len(fields), 1)
    texts = {name: cut_text(_text(value), share) for name, value in fields.items()}
    kept = {name: text if was_cut else fields[name] for name, (text, was_cut) in texts.items()}
    cut = tuple(name for name, (_, was_cut) in texts.items() if was_cut)
    return Shown(_harmless(orjson.dumps(kept, option=orjson.OPT_INDENT_2).decode()), cut)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _harmless(text: str) -> str:
    """Inside strings of JSON every character may be written as its code; names of fields are strings, too."""
    return _UNSEEN.sub(_escaped, _SPEAKS.sub(_escaped, text))


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
