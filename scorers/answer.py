"""Reading what a judge answers: all of it or nothing. What it judges may have planted a verdict, so no part of a text is ever picked out."""

import json
import re
from collections.abc import Mapping
from typing import Any

MOST_CHARS = 16_000
REASON_CHARS = 4000

Schema = dict[str, Any]

_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)


class Unreadable(ValueError):
    """An answer that is no verdict; the text says what is wrong with it."""


def schema(nonce: str, choices: tuple[str, ...]) -> Schema:
    """Returns the JSON Schema of an answer: the nonce of the question, why, and one of the choices or without any a score from 0 to 1."""
    verdict = {"choice": {"type": "string", "enum": list(choices)}} if choices else {"score": {"type": "number"}}
    properties = {"id": {"type": "string", "enum": [nonce]}, "reason": {"type": "string"}, **verdict}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def read(text: str, nonce: str, choices: Mapping[str, float]) -> tuple[float, str, str]:
    """Returns value, choice (empty when there are none to choose from) and reason of an answer.

    The answer is exactly one JSON object, at most inside a code fence, with the keys of its schema, each once.

    Raises:
        Unreadable: it is anything else.

    """
    told = _object(text)
    name = "choice" if choices else "score"
    wanted = {"id", "reason", name}
    if set(told) != wanted:
        raise Unreadable(f"the object must have exactly the keys {', '.join(sorted(wanted))}")
    if told["id"] != nonce:
        raise Unreadable("its id is not the one that was given")
    if not isinstance(told["reason"], str):
        raise Unreadable("its reason is no text")
    value = _chosen(told[name], choices) if choices else _score(told[name])
    return value, told[name] if choices else "", told["reason"][:REASON_CHARS]


def _object(text: str) -> dict[str, Any]:
    text = text.strip()
    if not text:
        raise Unreadable("it is empty")
    if len(text) > MOST_CHARS:
        raise Unreadable(f"it is longer than {MOST_CHARS} characters")
    fenced = _FENCED.fullmatch(text)
    try:
        told = json.loads(fenced[1] if fenced else text, object_pairs_hook=_once, parse_constant=_refused)
    except Unreadable:
        raise
    except (ValueError, RecursionError):
        raise Unreadable("it is not one JSON object and nothing else") from None
    if not isinstance(told, dict):
        raise Unreadable("it is JSON, but no object")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("it has a key twice")
    return found


def _refused(constant: str) -> None:
    raise Unreadable(f"{constant} is no number of JSON")


def _score(told: object) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= 1:
        raise Unreadable("its score is no number from 0 to 1")
    return float(told)


def _chosen(told: object, choices: Mapping[str, float]) -> float:
    if not isinstance(told, str) or told not in choices:
        raise Unreadable(f"its choice is none of {', '.join(map(repr, choices))}")
    return choices[told]
