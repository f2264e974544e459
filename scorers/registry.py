"""The built-in scorers by the `type` of their documents."""

import difflib
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from schemas.documents.scorer import ScorerSpec
from scorers.contains import Contains
from scorers.cost import Cost
from scorers.json_schema import JsonSchema
from scorers.language import Language
from scorers.latency import Latency
from scorers.not_empty import NotEmpty
from scorers.number import Number
from scorers.pii import Pii
from scorers.prompt import Prompt
from scorers.refusal import Refusal
from scorers.regex import Regex
from scorers.scorer import Scorer
from scorers.tool_error import ToolError

T = TypeVar("T")

TYPES: dict[str, type[Any]] = {
    "contains": Contains,
    "cost": Cost,
    "json-schema": JsonSchema,
    "language": Language,
    "latency": Latency,
    "not-empty": NotEmpty,
    "number": Number,
    "pii": Pii,
    "refusal": Refusal,
    "regex": Regex,
    "tool-error": ToolError,
}


def build(spec: ScorerSpec) -> Scorer:
    """Returns the scorer that a document describes.

    Raises:
        ValueError: there is no such type, or its settings under `with` are wrong; the text names the value and the fix.
    """
    cls = TYPES.get(spec.type)
    if cls is None:
        known = sorted([*TYPES, "hosted", "prompt"])
        near = difflib.get_close_matches(spec.type, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ValueError(f"no scorer type {spec.type!r}; {hint}")
    scorer: Scorer = _with_settings(cls, spec)
    return scorer


def prompt(spec: ScorerSpec) -> Prompt:
    """Returns the question of a document of type `prompt`; it is no scorer yet, for it asks a model that the worker has.

    Raises:
        ValueError: its settings are wrong, as in `build`.
    """
    return _with_settings(Prompt, spec)


def _with_settings(cls: type[T], spec: ScorerSpec) -> T:
    try:
        return TypeAdapter(cls).validate_python(spec.with_)
    except ValidationError as error:
        settings = list(cls.__dataclass_fields__)  # type: ignore[attr-defined]
        raise ValueError(f"{spec.type}: {_explained(error, settings)}") from None


def _explained(error: ValidationError, settings: list[str]) -> str:
    """A setting that there is not comes first: another one that is missing is the same one, spelt right."""
    problems = error.errors(include_url=False)
    first = next((one for one in problems if one["type"] == "unexpected_keyword_argument"), problems[0])
    where, kind = ".".join(["with", *(str(part) for part in first["loc"])]), first["type"]
    if kind == "unexpected_keyword_argument":
        near = difflib.get_close_matches(str(first["loc"][-1]), settings, 1)
        return (
            f"{where}: no such setting; {f'did you mean {near[0]!r}?' if near else 'there are ' + ', '.join(settings)}"
        )
    if kind == "missing_argument" or kind == "missing":
        return f"{where}: it is required"
    if kind == "value_error":
        return f"{where}: {first['ctx']['error']}"
    return f"{where}: {first['msg']}, got {repr(first['input'])[:100]}"
