"""Vedette for the author of an agent: `from vedette import Tracer, wrap`."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vedette.data import Example
    from vedette.evaluate import TraceScorerConfig
    from vedette.scorers.example_scorer import ExampleScorer
    from vedette.tracer import Tracer
    from vedette.wrap import wrap

__all__ = ["Example", "ExampleScorer", "TraceScorerConfig", "Tracer", "wrap"]

_HOMES = {
    "Example": "vedette.data",
    "ExampleScorer": "vedette.scorers.example_scorer",
    "TraceScorerConfig": "vedette.evaluate",
    "Tracer": "vedette.tracer",
    "wrap": "vedette.wrap",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and nothing else: the `vedette` command needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vedette' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """Importing the package `vedette.wrap` would put it where the function `wrap` belongs."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.wrap if name == "wrap" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
