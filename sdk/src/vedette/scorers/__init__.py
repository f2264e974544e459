"""Scorers as an agent's author writes and names them."""

from vedette.scorers.example_scorer import ExampleScorer

__all__ = ["ExampleScorer"]
