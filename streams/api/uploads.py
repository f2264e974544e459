"""Uploaded scorers: built, and kept as versions of a project's scorer or of the organization's for all its projects."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from schemas.config import ConfigEntry
from schemas.documents.base import Name, canonical_spec, spec_version
from schemas.documents.bundle import BundleSpec
from schemas.documents.key import ALL_PROJECTS
from schemas.documents.scorer import ScorerSpec
from scorers.hosted import requirements
from scorers.hosted.bundle import InvalidBundle, inspect
from streams.api import builds
from streams.api.app import Call
from streams.api.errors import Refused
from streams.api.publish import append, in_effect
from streams.api.scorers import row, spec_of, where
from streams.logic.configuration import Configuration, Versioned

TIMEOUT_S = 30.0
"""For one example; authors call models."""
THRESHOLD = 0.5
"""Of a scorer whose class has none."""
NAME: TypeAdapter[str] = TypeAdapter(Name)


class Upload(BaseModel):
    """A file of Python and its requirements, as text. Without a name the class's own is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    requirements: str = ""
    name: str | None = None
    overwrite: bool = False


UPLOAD = TypeAdapter(Upload)


async def upload(call: Call) -> Any:
    """Builds and keeps uploaded code; answers when evaluations that name the scorer find it."""
    return await keep(call, target(call), call.read(UPLOAD))


async def keep(call: Call, project: str, sent: Upload) -> dict[str, Any]:
    """Builds an upload and keeps it as the newest version of its scorer; returns when it is in effect.

    Args:
        call: whose key is noted.
        project: that gets the scorer; "": all of the organization.
        sent: what is uploaded.

    Raises:
        Refused: 400, it is no scorer; 409, there is one of that name; 422, it cannot be built; 503, nobody can build it.

    """
    config = call.services.config
    await asyncio.to_thread(_look, sent)
    if sent.name is not None:
        _before(config.configuration, project, _name(sent.name), sent)
    bundle, log = await builds.built(call.services.settings, sent.code, sent.requirements)
    name = _name(sent.name or (bundle.manifest.scorer if bundle.manifest else ""))

    def decide() -> tuple[str, list[ConfigEntry]]:
        before = _before(config.configuration, project, name, sent)
        entry = next_version(project, name, bundle, before, call.caller.id)
        result = "created" if before is None else "unchanged" if before.version == entry.version else "changed"
        bundles = _bundle_entries(config.configuration, project, bundle, call.caller.id)
        return result, [*bundles, *([] if result == "unchanged" else [entry])]

    result = await append(config, decide)
    await in_effect(config, [("Scorer", project, name)])
    newest = config.configuration.all_newest("Scorer", project)[name]
    return {
        **row(config.configuration, newest),
        "result": result,
        "notes": bundle.notes,
        "lock": bundle.lock,
        "log": log,
    }


def target(call: Call) -> str:
    """Returns the project that gets an upload: the one that is asked for, else the key's only one, else "", all of the organization.

    Raises:
        Refused: 403, the key may not use it; 400, the key may use several and the request names none.

    """
    allowed = call.caller.key.projects
    if call.asked_project or (len(allowed) == 1 and ALL_PROJECTS not in allowed):
        return call.project
    if ALL_PROJECTS in allowed:
        return ""
    raise Refused(400, "project_missing", f"name a project: key {call.caller.id} may use {', '.join(allowed)}")


def _look(sent: Upload) -> None:
    """What can be said before anything is built."""
    try:
        requirements.read(sent.requirements, inspect(sent.code).imports)
    except (InvalidBundle, requirements.InvalidRequirements) as error:
        raise Refused(400, "invalid_scorer", str(error)) from None


def _name(text: str) -> str:
    try:
        return NAME.validate_python(text)
    except ValidationError as error:
        raise Refused(400, "invalid_name", error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _before(configuration: Configuration, project: str, name: str, sent: Upload) -> Versioned | None:
    """The scorer that an upload makes a new version of."""
    found = configuration.all_newest("Scorer", project).get(name)
    if found is None:
        return None
    if (kind := spec_of(found).type) != "hosted":
        raise Refused(
            409, "exists", f"scorer {name!r} exists in {where(project)} and is of type {kind}; choose another name"
        )
    if not sent.overwrite:
        raise Refused(
            409, "exists", f"scorer {name!r} exists in {where(project)}; upload it with --overwrite for a new version"
        )
    return found


def next_version(project: str, name: str, bundle: BundleSpec, before: Versioned | None, by: str) -> ConfigEntry:
    """Returns the next version of a scorer: code and threshold are those of the upload, where it runs and whether it does stay as they are."""
    manifest = bundle.manifest
    threshold = THRESHOLD if manifest is None or manifest.threshold is None else manifest.threshold
    spec = spec_of(before) if before else ScorerSpec(type="hosted", timeout=TIMEOUT_S)
    given = {"with_": {"bundle": bundle.identity(project)}, "threshold": threshold}
    content = canonical_spec(spec.model_copy(update=given))
    description = before.description if before else ""
    return ConfigEntry(
        project=project,
        kind="Scorer",
        name=name,
        version=spec_version(content),
        spec=content,
        description=description,
        by=by,
    )


def _bundle_entries(configuration: Configuration, project: str, bundle: BundleSpec, by: str) -> list[ConfigEntry]:
    name = bundle.identity(project)
    if name in configuration.all_newest("Bundle", project):
        return []
    content = canonical_spec(bundle)
    return [ConfigEntry(project=project, kind="Bundle", name=name, version=spec_version(content), spec=content, by=by)]
