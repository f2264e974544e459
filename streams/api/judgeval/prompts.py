"""Prompts as judgeval keeps them: commits, each with its parent, and tags that move between them.

A commit is an entry of the kind `Prompt` on `vedette.config`, whose version is the commit's id; where a prompt's tags stand is one
of the kind `PromptTags`. Nothing is ever overwritten, so what a tag pointed to at a time can be told.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.config import ConfigEntry
from schemas.documents.base import Name, spec_version
from schemas.ids import hashed
from streams.api.app import Call
from streams.api.errors import Refused
from streams.api.judgeval.wire import Told, project_of
from streams.api.publish import append
from streams.logic.configuration import Configuration, Versioned

COMMIT, TAGS = "Prompt", "PromptTags"


class Commit(BaseModel):
    """What is remembered of a commit."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    parent: str = ""
    by: str = ""


class _Of(Told):
    name: Name
    project_id: str = ""


class New(_Of):
    """A commit to be, and the tags that move to it."""

    prompt: str = Field(max_length=1024 * 1024)
    tags: list[str] = Field(default=[], max_length=100)


class Tagged(_Of):
    """Tags that move to a commit."""

    commit_id: str
    tags: list[str] = Field(max_length=100)


class Untagged(_Of):
    """Tags that are taken away."""

    tags: list[str] = Field(max_length=100)


NEW, TAGGED, UNTAGGED = TypeAdapter(New), TypeAdapter(Tagged), TypeAdapter(Untagged)


# --- decisions ------------------------------------------------------------------------------------------------------


def commits(configuration: Configuration, project: str, name: str) -> list[Versioned]:
    """Returns the commits of a prompt, the oldest first."""
    return list(configuration.history(COMMIT, project, name))


def tags(configuration: Configuration, project: str, name: str) -> dict[str, str]:
    """Returns the commit that each tag of a prompt points to."""
    found = configuration.newest(TAGS, project, name)
    placed: dict[str, str] = orjson.loads(found.spec) if found is not None else {}
    return placed


def committed(configuration: Configuration, project: str, new: New, by: str) -> tuple[str, str, list[ConfigEntry]]:
    """Returns a new commit's id, its parent's, and the entries that make it."""
    before = commits(configuration, project, new.name)
    parent = before[-1].version if before else ""
    commit = hashed(project, new.name, parent, new.prompt)
    spec = orjson.dumps(Commit(prompt=new.prompt, parent=parent, by=by).model_dump())
    entry = ConfigEntry(project=project, kind=COMMIT, name=new.name, version=commit, spec=spec, by=by)
    moved = {**tags(configuration, project, new.name), **dict.fromkeys(new.tags, commit)}
    return commit, parent, [entry, *([_tags(project, new.name, moved, by)] if new.tags else [])]


def _tags(project: str, name: str, placed: dict[str, str], by: str) -> ConfigEntry:
    spec = orjson.dumps(placed, option=orjson.OPT_SORT_KEYS)
    return ConfigEntry(project=project, kind=TAGS, name=name, version=spec_version(spec), spec=spec, by=by)


def chosen(found: Sequence[Versioned], placed: dict[str, str], commit: str | None, tag: str | None) -> Versioned | None:
    """Returns the commit that is asked for, by its id or by a tag, else the newest; None when there is none."""
    wanted = placed.get(tag, "") if tag else commit
    if wanted is None:
        return found[-1] if found else None
    return next((one for one in reversed(found) if one.version == wanted), None)


def shown(commit: Versioned, placed: dict[str, str]) -> dict[str, Any]:
    """Returns a commit as judgeval reads it. A key has no first name; its id stands there."""
    told = Commit.model_validate_json(commit.spec)
    return {
        "name": commit.name,
        "prompt": told.prompt,
        "tags": sorted(tag for tag, at in placed.items() if at == commit.version),
        "commit_id": commit.version,
        "parent_commit_id": told.parent or None,
        "created_at": _time(commit),
        "first_name": told.by,
        "last_name": "",
        "user_email": "",
    }


def _time(commit: Versioned) -> str:
    return datetime.fromtimestamp(commit.effective_at / 1000, UTC).isoformat()


# --- what is asked --------------------------------------------------------------------------------------------------


async def insert(call: Call) -> Any:
    """Keeps a commit and moves its tags to it."""
    new: New = _read(call, NEW)
    project, config = _project(call, new), call.services.config

    def decide() -> tuple[tuple[str, str], list[ConfigEntry]]:
        commit, parent, entries = committed(config.configuration, project, new, call.caller.id)
        return (commit, parent), entries

    commit, parent = await append(config, decide)
    made = chosen(commits(config.configuration, project, new.name), {}, commit, None)
    created = _time(made) if made is not None else ""
    return {"commit_id": commit, "parent_commit_id": parent or None, "created_at": created}


async def tag(call: Call) -> Any:
    """Moves tags to a commit."""
    sent: Tagged = _read(call, TAGGED)
    project, configuration = _project(call, sent), call.services.config.configuration
    if chosen(commits(configuration, project, sent.name), {}, sent.commit_id, None) is None:
        raise Refused(404, "not_found", f"prompt {sent.name!r} of project {project} has no commit {sent.commit_id!r}")
    await _move(call, project, sent.name, lambda placed: {**placed, **dict.fromkeys(sent.tags, sent.commit_id)})
    return {"commit_id": sent.commit_id}


async def untag(call: Call) -> Any:
    """Takes tags away and tells the commits that had them."""
    sent: Untagged = _read(call, UNTAGGED)
    project = _project(call, sent)
    had = tags(call.services.config.configuration, project, sent.name)
    await _move(
        call, project, sent.name, lambda placed: {tag: at for tag, at in placed.items() if tag not in sent.tags}
    )
    return {"commit_ids": sorted({had[tag] for tag in sent.tags if tag in had})}


async def _move(call: Call, project: str, name: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    config = call.services.config

    def decide() -> tuple[None, list[ConfigEntry]]:
        placed = tags(config.configuration, project, name)
        changed = change(placed)
        return None, [] if changed == placed else [_tags(project, name, changed, call.caller.id)]

    await append(config, decide)


async def fetch(call: Call) -> Any:
    """Returns one commit: by its id, by a tag, else the newest."""
    found, placed = _asked(call)
    one = chosen(found, placed, call.query.get("commit_id"), call.query.get("tag"))
    return {"commit": None if one is None else shown(one, placed)}


async def versions(call: Call) -> Any:
    """Returns all commits of a prompt, the newest first."""
    found, placed = _asked(call)
    return {"versions": [shown(one, placed) for one in reversed(found)]}


def _asked(call: Call) -> tuple[list[Versioned], dict[str, str]]:
    name = call.path.get("name") or call.query.get("name", "")
    project = project_of(call, unquote(call.query.get("project_id", "")))
    configuration = call.services.config.configuration
    return commits(configuration, project, name), tags(configuration, project, name)


def _read(call: Call, shape: TypeAdapter[Any]) -> Any:
    """Generation B names the prompt in the path, where A does so in the body."""
    return call.read(shape, {"name": call.path["name"]} if "name" in call.path else {})


def _project(call: Call, sent: _Of) -> str:
    return project_of(call, unquote(sent.project_id))
