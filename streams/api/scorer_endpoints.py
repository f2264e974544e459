"""The endpoints of scorers, and what they do with one that is there: disable, enable, delete, try."""

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from schemas.config import ConfigEntry
from schemas.documents.base import canonical_spec, spec_version
from schemas.documents.key import ALL_PROJECTS
from streams.api import builds, documents
from streams.api.app import Call, Endpoint
from streams.api.errors import Refused
from streams.api.publish import append, in_effect
from streams.api.scorers import find, listed, row, shown, spec_of
from streams.api.uploads import UPLOAD, upload
from streams.logic.configuration import Versioned


class Enabled(BaseModel):
    """Whether a scorer runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool


class Example(BaseModel):
    """The fields of an example that is to be judged once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[str, Any]


ENABLED, EXAMPLE = TypeAdapter(Enabled), TypeAdapter(Example)


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
    return row(config.configuration, config.configuration.all_newest("Scorer", found.project)[found.name])


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


ENDPOINTS = (
    Endpoint("POST", "/api/v1/scorers", "upload a scorer", upload, "upload", ("project",), UPLOAD, 201),
    Endpoint("GET", "/api/v1/scorers", "list scorers", listed, "read", ("project",)),
    Endpoint("GET", "/api/v1/scorers/{name}", "a scorer, its versions and its code", shown, "read", ("project", "version")),
    Endpoint("PUT", "/api/v1/scorers/{name}/enabled", "disable or enable a scorer", set_enabled, "upload", ("project",), ENABLED),
    Endpoint("POST", "/api/v1/scorers/{name}/try", "judge an example once", tried, "upload", ("project",), EXAMPLE),
    Endpoint("DELETE", "/api/v1/scorers/{name}", "delete a scorer", remove, "upload", ("project",)),
)  # fmt: skip
