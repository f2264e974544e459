"""Vedette inside the sandbox: what a scorer's file may import of it. Nothing here reports or sends anything."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Example": "vedette.data",
    "ExampleScorer": "vedette.scorers.example_scorer",
    "TraceScorer": "vedette.scorers.trace_scorer",
    "TraceScorerConfig": "vedette.tracer",
    "Tracer": "vedette.tracer",
    "wrap": "vedette.tracer",
}


def __getattr__(name: str) -> "Any":
    """Imports what is asked for, and nothing else: a sandbox starts fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vedette' has no attribute {name!r} in the sandbox")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
