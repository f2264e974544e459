"""Uploaded code as it was built: an entry of kind `Bundle`, named by the hash of its content. Scorers of type `hosted` name it."""

from typing import Literal

from schemas.documents.base import Strict
from schemas.ids import hashed


class Described(Strict):
    """What the code said about itself when it was built."""

    class_name: str
    scorer: str = ""
    threshold: float | None = None
    kind: Literal["example", "trace"] = "example"
    fields: tuple[str, ...] = ()


class BundleSpec(Strict):
    """One file of Python, what it asks for, and what that was resolved to."""

    code: str
    requirements: str = ""
    lock: str = ""
    """Each package with its version and hash, as pip reads it; empty: none."""
    manifest: Described | None = None
    notes: tuple[str, ...] = ()

    def identity(self, project: str) -> str:
        """Returns the name of its entry in a project ("": in all)."""
        return hashed(project, self.code, self.requirements, self.lock)
