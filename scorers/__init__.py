"""Judging: built-in scorers, one a file, each a frozen dataclass whose fields are its configuration."""
