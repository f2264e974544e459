"""Uploaded scorers: kept as versions, listed, shown, disabled, deleted. A project's own, or the organization's for all its projects."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from schemas.config import ConfigEntry
from schemas.documents.base import Name, canonical_spec, spec_version
from schemas.documents.bundle import BundleSpec
from schemas.documents.key import ALL_PROJECTS
from schemas.documents.scorer import ScorerSpec
from scorers.hosted import requirements
from scorers.hosted.bundle import InvalidBundle, inspect
from streams.api import builds, documents
from streams.api.app import Call, Endpoint
from streams.api.errors import Refused
from streams.api.publish import append, in_effect
from streams.logic.configuration import TAKES_EFFECT_AFTER_MS, Configuration, Versioned

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


class Enabled(BaseModel):
    """Whether a scorer runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool


class Example(BaseModel):
    """The fields of an example that is to be judged once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[str, Any]


UPLOAD, ENABLED, EXAMPLE = TypeAdapter(Upload), TypeAdapter(Enabled), TypeAdapter(Example)


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
        **_row(config.configuration, newest),
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


async def listed(call: Call) -> Any:
    """Lists scorers of every type: a project's own and the organization's."""
    configuration = call.services.config.configuration
    found = [
        one for place in ["", *call.projects()] for _, one in sorted(configuration.all_newest("Scorer", place).items())
    ]
    return {"scorers": [_row(configuration, one) for one in found]}


async def shown(call: Call) -> Any:
    """Shows a scorer with its versions; of an uploaded one also its code, the newest or that of `version`."""
    configuration = call.services.config.configuration
    newest = find(call)
    every = configuration.history("Scorer", newest.project, newest.name)
    history = [one for one in every if not one.deleted and one.project == newest.project]
    asked = call.query.get("version", newest.version)
    chosen = [one for one in history if one.version.startswith(asked)]
    if not chosen or not asked:
        told = ", ".join(dict.fromkeys(one.version for one in history))
        raise Refused(404, "no_version", f"scorer {newest.name!r} has no version {asked!r}; there are {told}")
    bundle = bundle_of(configuration, chosen[-1])
    versions = [{"version": one.version, "by": one.by, "at": _time(one)} for one in history]
    return {
        **_row(configuration, chosen[-1]),
        "versions": versions,
        **(bundle.model_dump(mode="json") if bundle else {}),
    }


async def set_enabled(call: Call) -> Any:
    """Disables or enables a scorer; disabling counts at once, for evaluations that were asked for before, too."""
    wanted: Enabled = call.read(ENABLED)
    config, found = call.services.config, changeable(call)

    def decide() -> tuple[None, list[ConfigEntry]]:
        before = config.configuration.all_newest("Scorer", found.project).get(found.name, found)
        spec = spec_of(before)
        if spec.enabled == wanted.enabled:
            return None, []
        content = canonical_spec(spec.model_copy(update={"enabled": wanted.enabled}))
        return None, [
            ConfigEntry(
                project=found.project, kind="Scorer", name=found.name, version=spec_version(content), spec=content,
                description=before.description, by=call.caller.id,
            )
        ]  # fmt: skip

    await append(config, decide)
    await in_effect(config, [("Scorer", found.project, found.name)])
    return _row(config.configuration, config.configuration.all_newest("Scorer", found.project)[found.name])


async def remove(call: Call) -> Any:
    """Deletes a scorer; answers when the deletion is in effect. Its versions stay on the log."""
    config, found = call.services.config, changeable(call)
    await append(config, lambda: (None, [documents.deletion(found, call.caller.id)]))
    await in_effect(config, [("Scorer", found.project, found.name)])
    return {"name": found.name, "project": found.project, "result": "deleted", "version": found.version}


async def tried(call: Call) -> Any:
    """Has an uploaded scorer judge an example once; nothing is recorded but what its model calls cost."""
    sent: Example = call.read(EXAMPLE)
    found = find(call)
    if (kind := spec_of(found).type) != "hosted":
        raise Refused(400, "not_hosted", f"scorer {found.name!r} is of type {kind}; only uploaded scorers are tried")
    project = call.project if call.asked_project else found.project or call.project
    body = {"project": project, "scorer": found.name, "version": found.version, "fields": sent.fields}
    return await builds.tried(call.services.settings, body)


def changeable(call: Call) -> Versioned:
    """Returns the scorer that a call may change: code with scope `upload`, any other type with `admin`."""
    found = find(call)
    if spec_of(found).type != "hosted":
        call.caller.require("admin")
    if found.project == "" and (call.asked_project or ALL_PROJECTS not in call.caller.key.projects):
        raise Refused(
            403,
            "organization",
            f"scorer {found.name!r} is the organization's: change it with a key for all projects, naming none",
        )
    return found


def find(call: Call) -> Versioned:
    """Returns the scorer of the name in a call's path: of its project, else the organization's, else of the only project that has it."""
    configuration, name = call.services.config.configuration, call.path["name"]
    place = call.project if call.asked_project or ALL_PROJECTS not in call.caller.key.projects else ""
    found = configuration.newest("Scorer", place, name)
    if found is not None:
        return found
    having = [] if place else [one for one in call.projects() if name in configuration.all_newest("Scorer", one)]
    if len(having) == 1:
        return configuration.all_newest("Scorer", having[0])[name]
    if having:
        raise Refused(
            400, "project_missing", f"scorer {name!r} exists in {', '.join(having)}: say which with --project"
        )
    raise Refused(404, "not_found", f"there is no scorer {name!r} in {where(place)}; `vedette scorers ls` lists them")


def spec_of(version: Versioned) -> ScorerSpec:
    """Returns a scorer's spec."""
    return ScorerSpec.model_validate_json(version.spec)


def bundle_of(configuration: Configuration, scorer: Versioned) -> BundleSpec | None:
    """Returns the code of a version of a scorer; None: it is of another type."""
    name = spec_of(scorer).with_.get("bundle")
    found = configuration.newest("Bundle", scorer.project, name) if isinstance(name, str) else None
    return None if found is None else BundleSpec.model_validate_json(found.spec)


def where(project: str) -> str:
    """Returns how a place is told."""
    return f"project {project}" if project else "the organization"


def _row(configuration: Configuration, one: Versioned) -> dict[str, Any]:
    spec, bundle = spec_of(one), bundle_of(configuration, one)
    manifest = bundle.manifest if bundle else None
    return {
        "name": one.name,
        "project": one.project,
        "version": one.version,
        "type": spec.type,
        "judges": manifest.kind + "s" if manifest else "",
        "threshold": spec.threshold,
        "enabled": spec.enabled,
        "by": one.by,
        "at": _time(one),
        "bundle": spec.with_.get("bundle", ""),
    }


def _time(one: Versioned) -> str:
    return datetime.fromtimestamp((one.effective_at - TAKES_EFFECT_AFTER_MS) / 1000, UTC).isoformat(timespec="seconds")


ENDPOINTS = (
    Endpoint("POST", "/api/v1/scorers", "upload a scorer", upload, "upload", ("project",), UPLOAD, 201),
    Endpoint("GET", "/api/v1/scorers", "list scorers", listed, "read", ("project",)),
    Endpoint("GET", "/api/v1/scorers/{name}", "a scorer, its versions and its code", shown, "read", ("project", "version")),
    Endpoint("PUT", "/api/v1/scorers/{name}/enabled", "disable or enable a scorer", set_enabled, "upload", ("project",), ENABLED),
    Endpoint("POST", "/api/v1/scorers/{name}/try", "judge an example once", tried, "upload", ("project",), EXAMPLE),
    Endpoint("DELETE", "/api/v1/scorers/{name}", "delete a scorer", remove, "upload", ("project",)),
)  # fmt: skip
