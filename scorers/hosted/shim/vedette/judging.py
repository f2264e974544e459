"""How the program inside the sandbox finds an author's scorer, describes it and lets it judge. It speaks in JSON's types."""

import inspect
import math
import typing
from types import ModuleType
from typing import Any

from vedette.data import Example, Trace
from vedette.judges import BaseResponse, Judge, TraceCustomScorer
from vedette.model import REQUIRED, fields_of
from vedette.scorers.base import BaseScorer
from vedette.scorers.trace_scorer import TraceScorer


def scorer_class(module: ModuleType, class_name: str = "") -> type:
    """Returns the scorer that a file defines: the class of that name, else the only one that no other derives from.

    Raises:
        LookupError: there is none, or there are several.

    """
    own = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, BaseScorer | Judge) and one.__module__ == module.__name__
    ]
    leaves = [one for one in dict.fromkeys(own) if not any(issubclass(other, one) for other in own if other is not one)]
    found = [one for one in leaves if not class_name or one.__name__ == class_name]
    if len(found) != 1:
        raise LookupError(f"the file defines {len(found)} scorers, it must define one")
    return found[0]


def manifest(cls: type) -> dict[str, Any]:
    """Returns what a scorer says about itself: one instance is made and asked.

    Returns:
        `class_name`, `name`, `threshold` (None when it has none), `kind` (example or trace), and `fields`: of the example class that
        its method names, by name whether it is required.

    """
    one = cls()
    threshold = getattr(one, "threshold", None)
    return {
        "class_name": cls.__name__,
        "name": str(getattr(one, "name", "") or cls.__name__)[:200],
        "threshold": float(threshold) if isinstance(threshold, int | float) else None,
        "kind": "trace" if issubclass(cls, TraceScorer | TraceCustomScorer) else "example",
        "fields": {
            name: default is REQUIRED
            for name, default in fields_of(_example_class(cls)).items()
            if name not in fields_of(Example)
        },
    }


async def judge(
    cls: type, example: dict[str, Any], trace: dict[str, Any] | None = None, overlay: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Lets a fresh instance judge one example or trace.

    Args:
        cls: the scorer's class.
        example: fields by name, with `example_id` and `created_at` if there are any.
        trace: `{"spans": [...]}` for a scorer of traces, or the example's own.
        overlay: attributes of the scorer that the evaluation sets, such as `threshold` or `model`.

    Returns:
        `value` (0 to 1, or None), `reason`, `label`, `error` (what the author put there).

    Raises:
        Exception: whatever the author's code raises; TypeError or ValueError when what it returns is no verdict.

    """
    one: Any = cls()
    for name, value in (overlay or {}).items():
        setattr(one, name, value)
    seen = Trace(list(trace.get("spans", []))) if trace is not None else None
    subject: Any = seen if issubclass(cls, TraceScorer | TraceCustomScorer) else _example(cls, example, seen)
    told = _method(one)(subject)
    told = await told if inspect.isawaitable(told) else told
    answer = told if isinstance(told, BaseResponse) else one
    value = told.value if isinstance(told, BaseResponse) else told
    verdict = {"value": None, "reason": str(getattr(answer, "reason", None) or ""), "label": "", "error": ""}
    error = getattr(one, "error", None)
    if error:
        return verdict | {"error": str(error)}
    if isinstance(told, BaseResponse) and isinstance(value, str):
        return verdict | {"label": value}
    return verdict | {"value": _number(value)}


def _number(value: Any) -> float:
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        number = float(value)
        if math.isfinite(number):
            return min(max(number, 0.0), 1.0)
        raise ValueError(f"the scorer returned {number}: return a number from 0 to 1")
    raise TypeError(f"the scorer returned {type(value).__name__}: return a number from 0 to 1")


def _method(one: Any) -> Any:
    if isinstance(one, Judge):
        return one.score
    return one.a_score_trace if isinstance(one, TraceScorer) else one.a_score_example


def _example(cls: type, fields: dict[str, Any], trace: Trace | None) -> Any:
    example = _example_class(cls)(**fields)
    if trace is not None:
        example.trace = trace
    return example


def _example_class(cls: type) -> type:
    """The class that the judging method names for its example, else `Example`."""
    method = getattr(cls, "score" if issubclass(cls, Judge) else "a_score_example", None)
    parameters = list(inspect.signature(method).parameters)[1:2] if method else []
    try:
        named = typing.get_type_hints(method).get(parameters[0]) if parameters else None
    except Exception:  # an annotation that cannot be evaluated names no class
        named = None
    return named if isinstance(named, type) and issubclass(named, Example) else Example
