"""API keys: 256 random bits, kept only as a hash."""

import base64
import re
from hashlib import sha256
from typing import Literal

from schemas.documents.base import Name, Strict

Scope = Literal["ingest", "read", "develop", "upload", "admin"]
ALL_PROJECTS = "*"


class KeySpec(Strict):
    """What a key may do. The entry's name on `vedette.config` is the key's id, its project is empty."""

    key_hash: str
    scopes: tuple[Scope, ...]
    projects: tuple[Name, ...] = (ALL_PROJECTS,)
    label: str = ""

    def allows(self, scope: Scope) -> bool:
        """Tells whether the key has a scope; `admin` has all."""
        return scope in self.scopes or "admin" in self.scopes

    def allows_project(self, project: str) -> bool:
        """Tells whether the key may use a project."""
        return ALL_PROJECTS in self.projects or project in self.projects


_FORM = re.compile(r"vd_([0-9a-z]{12})_[0-9A-Za-z_-]{43}")


def new_key(secret: bytes, kid: bytes) -> str:
    """Returns the text of a key from 32 random bytes and 6 random bytes of id."""
    return f"vd_{kid.hex()}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def key_id(key: str) -> str | None:
    """Returns the public id within a key, or None when the text has not the form of a key."""
    found = _FORM.fullmatch(key)
    return found[1] if found else None


def key_hash(key: str) -> str:
    """Returns the hash that is kept: random keys of 256 bits need no slow hash."""
    return sha256(key.encode()).hexdigest()
