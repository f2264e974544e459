"""Who calls, and what the key allows."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.documents.key import ALL_PROJECTS, KeySpec, Scope, key_hash, key_id
from streams.api.errors import Refused
from streams.logic.configuration import Configuration

DEFAULT_PROJECT = "default"


@dataclass(frozen=True)
class Caller:
    """The key that a request came with."""

    id: str
    key: KeySpec

    def require(self, scope: Scope) -> None:
        """Refuses with 403 unless the key has a scope."""
        if not self.key.allows(scope):
            has = ", ".join(self.key.scopes)
            make = f"`vedette keys create --scope {','.join((*self.key.scopes, scope))}` makes one"
            raise Refused(403, "scope_missing", f"this needs a key with scope {scope}; key {self.id} has {has}; {make}")

    def require_project(self, project: str) -> None:
        """Refuses with 403 unless the key may use a project."""
        if not self.key.allows_project(project):
            theirs = ", ".join(self.key.projects)
            raise Refused(403, "project_forbidden", f"key {self.id} may use {theirs}, not project {project}")

    def project(self, asked: str | None) -> str:
        """Returns the project of a request: the one it asks for, else the key's only one, else `default`."""
        only = self.key.projects[0] if len(self.key.projects) == 1 and ALL_PROJECTS not in self.key.projects else None
        project = asked or only or DEFAULT_PROJECT
        self.require_project(project)
        return project


def authenticate(headers: Mapping[str, str], configuration: Configuration) -> Caller:
    """Returns the caller that `Authorization: Bearer KEY` or `x-api-key: KEY` proves.

    Raises:
        Refused: 401, without telling which part of the key is wrong.

    """
    text = _presented(headers)
    if text is None:
        raise Refused(401, "key_missing", "send a key as `Authorization: Bearer KEY` or `x-api-key: KEY`")
    identity = key_id(text)
    entry = configuration.newest("Key", "", identity) if identity else None
    if identity is None or entry is None:
        raise _unknown()
    spec = KeySpec.model_validate_json(entry.spec)
    if not hmac.compare_digest(spec.key_hash, key_hash(text)):
        raise _unknown()
    return Caller(identity, spec)


def _presented(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or None


def _unknown() -> Refused:
    return Refused(401, "key_unknown", "the key is unknown or revoked; `vedette keys ls` shows the ones that count")
