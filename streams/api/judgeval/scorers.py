"""Scorers that judgeval brings: uploaded code (type `hosted`) and prompts (type `prompt`), kept as versions of documents."""

from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.config import ConfigEntry
from schemas.documents.base import Metadata
from schemas.documents.scorer import Scorer, ScorerSpec
from scorers.registry import prompt
from streams.api import documents, uploads
from streams.api.app import Call
from streams.api.errors import Refused
from streams.api.judgeval.wire import Told, project_of
from streams.api.publish import append, in_effect
from streams.api.scorers import where
from streams.logic.configuration import Configuration, Versioned


class Upload(Told):
    """A file of Python and its requirements, as text."""

    scorer_name: str
    scorer_code: str
    requirements_text: str | None = ""
    overwrite: bool | None = False


class Named(Told):
    """A scorer by its name."""

    name: str


class Prompt(Told):
    """A prompt scorer: `options` are the answers that it may choose, each with its score."""

    name: str
    prompt: str
    threshold: float = 0.5
    options: dict[str, float] | None = None
    model: str | None = None
    description: str | None = None
    is_trace: bool | None = False


class Names(Told):
    """Scorers by their names; without any, all."""

    names: list[str] | None = None
    is_trace: bool | None = None


UPLOAD, NAMED, PROMPT, NAMES = TypeAdapter(Upload), TypeAdapter(Named), TypeAdapter(Prompt), TypeAdapter(Names)


async def upload(call: Call) -> Any:
    """Builds and keeps uploaded code; answers when evaluations that name the scorer find it."""
    sent: Upload = call.read(UPLOAD)
    named = call.asked_project or call.headers.get("x-project-id")
    project = project_of(call) if named else uploads.target(call)
    given = uploads.Upload(
        code=sent.scorer_code,
        requirements=sent.requirements_text or "",
        name=sent.scorer_name,
        overwrite=bool(sent.overwrite),
    )
    kept = await uploads.keep(call, project, given)
    message = f"{kept['result']}: version {kept['version']} of scorer {kept['name']!r} in {where(project)}"
    return {"scorer_name": sent.scorer_name, "status": "success", "message": "\n".join([message, *kept["notes"]])}


async def save(call: Call) -> Any:
    """Keeps a prompt scorer, as a new version when there is one of its name; answers when it is in effect."""
    sent: Prompt = call.read(PROMPT)
    project = project_of(call)
    target = "trace" if sent.is_trace else "example"
    settings = {"prompt": sent.prompt, "model": sent.model, "options": sent.options, "target": target}
    spec = {"type": "prompt", "with": settings, "threshold": sent.threshold}
    scorer = _document(project, sent.name, sent.description or "", spec)
    try:
        prompt(scorer.spec)
    except ValueError as wrong:
        raise Refused(400, "invalid_scorer", str(wrong)) from None
    await _write(call, scorer)
    return {"name": sent.name, "scorer_response": _shown(call.services.config.configuration, project, sent.name)}


def _document(project: str, name: str, description: str, spec: dict[str, Any]) -> Scorer:
    try:
        metadata = Metadata(name=name, project=project, description=description)
        return Scorer(api_version="vedette/v1", metadata=metadata, kind="Scorer", spec=ScorerSpec.model_validate(spec))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Refused(400, "invalid_body", first["msg"].removeprefix("Value error, ")) from None


async def _write(call: Call, scorer: Scorer) -> None:
    config, metadata = call.services.config, scorer.metadata

    def decide() -> tuple[None, list[ConfigEntry]]:
        found = config.configuration.all_newest("Scorer", metadata.project).get(metadata.name)
        if found is not None and (kind := _spec(found).type) != scorer.spec.type:
            message = (
                f"scorer {metadata.name!r} exists in project {found.project} and is of type {kind}; choose another name"
            )
            raise Refused(409, "exists", message)
        (planned,) = documents.plan([scorer], config.configuration, call.caller.id, has_smtp=False)
        return None, [] if planned.result == "unchanged" else [planned.entry]

    await append(config, decide)
    await in_effect(config, [("Scorer", metadata.project, metadata.name)])


async def exists(call: Call) -> Any:
    """Tells whether there is a prompt scorer of a name."""
    named = call.path["name"] if "name" in call.path else call.read(NAMED).name
    return {"exists": _type_of(call, named) == "prompt"}


async def custom_exists(call: Call) -> Any:
    """Tells whether there is a scorer of a name that is code: uploaded, or built in."""
    return {"exists": _type_of(call, call.path["name"]) not in (None, "prompt")}


def _type_of(call: Call, name: str) -> str | None:
    found = call.services.config.configuration.newest("Scorer", project_of(call), name)
    return None if found is None else _spec(found).type


async def fetch(call: Call) -> Any:
    """Returns prompt scorers: those of some names, or all."""
    project, configuration = project_of(call), call.services.config.configuration
    asked = _asked(call)
    known = [name for name, one in configuration.all_newest("Scorer", project).items() if _spec(one).type == "prompt"]
    wanted = known if asked.names is None else [name for name in asked.names if name in known]
    shown = [_shown(configuration, project, name) for name in wanted]
    return {"scorers": [one for one in shown if asked.is_trace in (None, one["is_trace"])]}


def _asked(call: Call) -> Names:
    if call.body:
        names: Names = call.read(NAMES)
        return names
    is_trace = {"true": True, "false": False}.get(call.query.get("is_trace", "").lower())
    return Names(names=[call.query["names"]] if "names" in call.query else None, is_trace=is_trace)


def _shown(configuration: Configuration, project: str, name: str) -> dict[str, Any]:
    every = configuration.history("Scorer", project, name)
    history = [one for one in every if not one.deleted and one.project == project]
    newest = history[-1]
    spec = _spec(newest)
    settings = spec.with_
    return {
        "id": name,
        "name": name,
        "prompt": settings.get("prompt", ""),
        "threshold": 0.5 if spec.threshold is None else spec.threshold,
        "model": settings.get("model"),
        "options": settings.get("options"),
        "description": newest.description or None,
        "is_trace": settings.get("target") == "trace",
        "created_at": _time(history[0].effective_at),
        "updated_at": _time(newest.effective_at),
    }


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _spec(version: Versioned) -> ScorerSpec:
    return ScorerSpec.model_validate_json(version.spec)
