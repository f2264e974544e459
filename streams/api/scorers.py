"""Scorers as they are told: listed, shown, found by name. A project's own, or the organization's for all its projects."""

from datetime import UTC, datetime
from typing import Any

from schemas.documents.bundle import BundleSpec
from schemas.documents.key import ALL_PROJECTS
from schemas.documents.scorer import ScorerSpec
from streams.api.app import Call
from streams.api.errors import Refused
from streams.logic.configuration import TAKES_EFFECT_AFTER_MS, Configuration, Versioned


async def listed(call: Call) -> Any:
    """Lists scorers of every type: a project's own and the organization's."""
    configuration = call.services.config.configuration
    found = [
        one for place in ["", *call.projects()] for _, one in sorted(configuration.all_newest("Scorer", place).items())
    ]
    return {"scorers": [row(configuration, one) for one in found]}


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
        **row(configuration, chosen[-1]),
        "versions": versions,
        **(bundle.model_dump(mode="json") if bundle else {}),
    }


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


def row(configuration: Configuration, one: Versioned) -> dict[str, Any]:
    """Returns how a version of a scorer is told in a list."""
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
