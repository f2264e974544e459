"""Scorers as their authors write them."""

from vedette.scorers.example_scorer import ExampleScorer
from vedette.scorers.trace_scorer import TraceScorer

__all__ = ["ExampleScorer", "TraceScorer"]
