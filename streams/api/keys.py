"""API keys: made, listed, revoked; the first admin key of an installation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field

from schemas.config import ConfigEntry
from schemas.documents.base import Name, Strict, canonical_spec, spec_version
from schemas.documents.key import ALL_PROJECTS, KeySpec, Scope, key_hash, key_id, new_key
from streams.api.auth import Caller
from streams.api.publish import ConfigLog
from streams.logic.configuration import Configuration, Versioned

log = structlog.get_logger()


class NewKey(Strict):
    """What a new key may do: either some projects or all."""

    projects: tuple[Name, ...] = Field(default=(), description="may be used for these")
    all_projects: bool = Field(default=False, alias="all", description="may be used for every project")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    label: str = Field(default="", max_length=200, description="what it is for")

    def allowed(self, creator: Caller) -> tuple[str, ...]:
        """Returns the projects of the key; without any, those of its creator."""
        wanted = (ALL_PROJECTS,) if self.all_projects else self.projects or creator.key.projects
        for project in wanted:
            creator.require_project(project)
        return tuple(wanted)


def made(wanted: NewKey, creator: Caller, secret: bytes, kid: bytes) -> tuple[str, ConfigEntry]:
    """Returns the text of a new key from 32 and 6 random bytes, which nobody keeps, and its entry."""
    text = new_key(secret, kid)
    spec = KeySpec(key_hash=key_hash(text), scopes=wanted.scopes, projects=wanted.allowed(creator), label=wanted.label)
    return text, entry_of(kid.hex(), spec, creator.id)


def entry_of(identity: str, spec: KeySpec, by: str) -> ConfigEntry:
    """Returns the entry of a key."""
    content = canonical_spec(spec)
    return ConfigEntry(project="", kind="Key", name=identity, version=spec_version(content), spec=content, by=by)


def shown(version: Versioned) -> dict[str, Any]:
    """Returns what may be known about a key."""
    spec = KeySpec.model_validate_json(version.spec)
    return {"id": version.name, "projects": list(spec.projects), "scopes": list(spec.scopes), "label": spec.label}


def visible(configuration: Configuration, caller: Caller) -> list[Versioned]:
    """Returns the keys whose every project the caller may use."""
    keys = configuration.all_newest("Key", "")
    return [key for _, key in sorted(keys.items()) if _within(KeySpec.model_validate_json(key.spec).projects, caller)]


def _within(projects: Sequence[str], caller: Caller) -> bool:
    return all(caller.key.allows_project(project) for project in projects)


def register_first(config: ConfigLog, file: Path) -> None:
    """Makes the key in a file an admin key, unless that very key is known; a revoked one stays revoked.

    Raises:
        RuntimeError: the file cannot be read or holds no key.

    """
    try:
        text = file.read_text().strip()
    except OSError as error:
        raise RuntimeError(f"VEDETTE_BOOTSTRAP_ADMIN_KEY_FILE cannot be read: {error}") from error
    identity = key_id(text)
    if identity is None:
        raise RuntimeError(f"{file} holds no key: the form is vd_, 12 of 0-9a-z, _, 43 of base64url")
    entry = entry_of(identity, KeySpec(key_hash=key_hash(text), scopes=("admin",), label="first admin key"), "start")
    if config.configuration.version("Key", "", identity, entry.version) is None:
        config.append([entry])
        log.info("first admin key registered", key=identity)
