"""Vedette for the author of an agent."""

__version__ = "0.1.0"
