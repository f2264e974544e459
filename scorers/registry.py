"""The built-in scorers by the `type` of their documents."""

import difflib
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.documents.scorer import ScorerSpec
from scorers.contains import Contains
from scorers.latency import Latency
from scorers.regex import Regex
from scorers.scorer import Scorer

TYPES: dict[str, type[Any]] = {"contains": Contains, "latency": Latency, "regex": Regex}


def build(spec: ScorerSpec) -> Scorer:
    """Returns the scorer that a document describes.

    Raises:
        ValueError: there is no such type, or its settings under `with` are wrong; the text names the value and the fix.
    """
    cls = TYPES.get(spec.type)
    if cls is None:
        near = difflib.get_close_matches(spec.type, TYPES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(TYPES))}"
        raise ValueError(f"no scorer type {spec.type!r}; {hint}")
    try:
        scorer: Scorer = TypeAdapter(cls).validate_python(spec.with_)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(["with", *(str(part) for part in first["loc"])])
        raise ValueError(f"{spec.type}: {where}: {first['msg']}, got {first.get('input')!r}") from None
    return scorer
