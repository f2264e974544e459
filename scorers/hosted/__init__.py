"""Scorers that people upload: their Python runs in a sandbox, never on the host."""
