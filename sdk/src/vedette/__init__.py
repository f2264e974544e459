"""Vedette for the author of an agent: `from vedette import Tracer, wrap`."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vedette.client import VedetteClient
    from vedette.client import VedetteClient as JudgmentClient
    from vedette.data import Example
    from vedette.dataset import Dataset
    from vedette.evaluate import TraceScorerConfig
    from vedette.scorers.example_scorer import ExampleScorer
    from vedette.tracer import Tracer
    from vedette.wrap import wrap

__all__ = [
    "Dataset",
    "Example",
    "ExampleScorer",
    "JudgmentClient",
    "TraceScorerConfig",
    "Tracer",
    "VedetteClient",
    "wrap",
]

_HOMES = {
    "Dataset": "vedette.dataset",
    "Example": "vedette.data",
    "ExampleScorer": "vedette.scorers.example_scorer",
    "TraceScorerConfig": "vedette.evaluate",
    "Tracer": "vedette.tracer",
    "VedetteClient": "vedette.client",
    "wrap": "vedette.wrap",
}
_ALIASES = {"JudgmentClient": "VedetteClient"}
"""judgeval's names for what has another here"""


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and nothing else: the `vedette` command needs none of it."""
    own = _ALIASES.get(name, name)
    if own not in _HOMES:
        raise AttributeError(f"module 'vedette' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[own]), own)


class _Package(ModuleType):
    """Importing the package `vedette.wrap` would put it where the function `wrap` belongs."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.wrap if name == "wrap" and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
