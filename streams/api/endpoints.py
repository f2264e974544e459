"""Every endpoint of the api."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

from confluent_kafka import KafkaException
from pydantic import TypeAdapter

from schemas.alert import AlertState
from schemas.config import ConfigEntry
from schemas.documents import KINDS
from schemas.rule import CommandAction
from sinks.sink import Permanent
from streams import destinations
from streams.api import commands, dataset_endpoints, documents, keys, readers, scorer_endpoints, send_test, status
from streams.api.app import Answer, Call, Endpoint, Handler, openapi
from streams.api.errors import Refused
from streams.api.publish import append, in_effect
from streams.doctor import destinations as destination_checks
from streams.doctor import waiters
from streams.documents import Invalid, with_project

VERSION = "1"
WAITERS_READ_S = 1.0
STATES: tuple[str, ...] = get_args(AlertState)
OPEN = tuple(state for state in STATES if state != "resolved")
DOCUMENTS: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])
NEW_KEY = TypeAdapter(keys.NewKey)
NEW_READER = TypeAdapter(readers.NewReader)
NOTES: dict[CommandAction, TypeAdapter[Any]] = {
    "acknowledge": TypeAdapter(commands.Note),
    "resolve": TypeAdapter(commands.Note),
    "snooze": TypeAdapter(commands.Snooze),
}


async def put_documents(call: Call) -> Any:
    """Applies documents: all of them, or none when one is not valid; answers when they are in effect."""
    checked = _checked(call)

    def decide() -> tuple[list[documents.Planned], list[ConfigEntry]]:
        planned = _planned(call, checked)
        return planned, [one.entry for one in planned if one.result != "unchanged"]

    planned = await append(call.services.config, decide)
    await in_effect(call.services.config, [one.key for one in planned])
    return {"documents": [one.told() for one in planned]}


async def diff_documents(call: Call) -> Any:
    """Tells what applying the documents would change."""
    planned = _planned(call, _checked(call))
    return {"documents": [{**one.told(), "diff": documents.difference(one)} for one in planned]}


def _planned(call: Call, checked: Sequence[Any]) -> list[documents.Planned]:
    has_smtp = call.services.settings.smtp_url is not None
    return documents.plan(checked, call.services.config.configuration, call.caller.id, has_smtp)


def _checked(call: Call) -> list[Any]:
    items = call.read(DOCUMENTS)
    try:
        found = documents.checked(
            [_of_project(call, item) for item in items],
            call.services.secret_problem,
            call.services.config.configuration,
        )
    except documents.InvalidDocuments as error:
        raise Refused(400, "invalid_documents", f"nothing was applied: {error}", {"problems": error.told()}) from error
    except Invalid as error:
        raise Refused(400, "invalid_documents", f"nothing was applied: {error}") from error
    for document in found:
        call.caller.require_project(document.metadata.project)
    return found


def _of_project(call: Call, item: dict[str, Any]) -> Any:
    """A document that names no project gets the one of the request, by the same rule as data."""
    metadata = item.get("metadata")
    if isinstance(metadata, dict) and "project" in metadata and not call.asked_project:
        return item
    return with_project(item, call.project)


async def get_documents(call: Call) -> Any:
    """Lists documents."""
    kind = _kind(call.query["kind"]) if call.query.get("kind") else None
    found = documents.listed(call.services.config.configuration, call.projects(), kind, call.query.get("name"))
    return {"documents": found}


async def delete_document(call: Call) -> Any:
    """Deletes a document; answers when the deletion is in effect."""
    kind, name, project = _kind(call.path["kind"]), call.path["name"], call.project
    config = call.services.config

    def decide() -> tuple[str, list[ConfigEntry]]:
        before = config.configuration.all_newest(kind, project).get(name)
        if before is None:
            raise Refused(404, "not_found", f"there is no {kind} {name!r} in project {project}")
        return before.version, [documents.deletion(before, call.caller.id)]

    version = await append(config, decide)
    await in_effect(config, [(kind, project, name)])
    rules = documents.still_refer(config.configuration, kind, project, name)
    warnings = [f"rule {rule!r} still names it" for rule in rules]
    return {"kind": kind, "project": project, "name": name, "result": "deleted", "version": version, "warnings": warnings}  # fmt: skip


def _kind(text: str) -> str:
    found = next((kind for kind in KINDS if text.lower() in (kind.lower(), kind.lower() + "s")), None)
    if found is None:
        raise Refused(400, "unknown_kind", f"{text!r} is no kind; there are {', '.join(KINDS)}")
    return found


async def create_key(call: Call) -> Any:
    """Makes a key; its text is in this answer and nowhere else."""
    text, entry = keys.made(call.read(NEW_KEY), call.caller, os.urandom(32), os.urandom(6))
    config = call.services.config
    await append(config, lambda: (None, [entry]))
    await in_effect(config, [("Key", "", entry.name)])
    created = config.configuration.newest("Key", "", entry.name)
    if created is None:
        raise Refused(409, "revoked", f"key {entry.name} was revoked meanwhile")
    return {**keys.shown(created), "key": text}


async def list_keys(call: Call) -> Any:
    """Lists keys without their texts."""
    return {"keys": [keys.shown(key) for key in keys.visible(call.services.config.configuration, call.caller)]}


async def revoke_key(call: Call) -> Any:
    """Revokes a key; answers when no job takes it any more."""
    config, identity = call.services.config, call.path["id"]

    def decide() -> tuple[None, list[ConfigEntry]]:
        seen = {key.name: key for key in keys.visible(config.configuration, call.caller)}
        if identity not in seen:
            raise Refused(404, "not_found", f"there is no key {identity}; `vedette keys ls` lists them")
        return None, [documents.deletion(seen[identity], call.caller.id)]

    await append(config, decide)
    await in_effect(config, [("Key", "", identity)])
    return {"id": identity, "result": "revoked"}


async def create_reader(call: Call) -> Any:
    """Makes a ClickHouse user that reads one project; its password is in this answer and nowhere else."""
    wanted: readers.NewReader = call.read(NEW_READER)
    call.caller.require_project(wanted.project)
    services = call.services
    kept = readers.place(services.settings)
    name, password = await asyncio.to_thread(readers.make, wanted, kept, os.urandom(6), os.urandom(24))
    entry = readers.entry_of(name, wanted, call.caller.id)
    await append(services.config, lambda: (None, [entry]))
    return {"id": name, "project": wanted.project, "password": password, **readers.access(services.settings)}


async def list_readers(call: Call) -> Any:
    """Lists the ClickHouse users that read one project."""
    return {"readers": [readers.shown(one) for one in readers.visible(call.services.config.configuration, call.caller)]}


async def remove_reader(call: Call) -> Any:
    """Removes a ClickHouse user; answers when it cannot log in any more."""
    config, name = call.services.config, call.path["id"]
    seen = {one.name: one for one in readers.visible(config.configuration, call.caller)}
    if name not in seen:
        raise Refused(404, "not_found", f"there is no reader {name}; `vedette keys ls` lists them")
    await asyncio.to_thread(readers.remove, readers.place(call.services.settings), name)
    await append(config, lambda: (None, [documents.deletion(seen[name], call.caller.id)]))
    return {"id": name, "result": "revoked"}


async def list_alerts(call: Call) -> Any:
    """Lists alerts; without `state` the open ones, `state=all` for all that are kept."""
    asked = call.query.get("state") or "open"
    states = {"open": OPEN, "all": STATES}.get(asked, (asked,))
    if not set(states) <= set(STATES):
        raise Refused(400, "unknown_state", f"{asked!r} is no state; there are open, all, {', '.join(STATES)}")
    return {"alerts": call.services.alerts.find(call.projects(), states)}


def telling(action: CommandAction) -> Handler:
    """Returns the handler that tells an alert something; 202 when the counter has not written the change in time."""

    async def tell(call: Call) -> Any:
        said: commands.Note = call.read(NOTES[action])
        alert = call.services.alerts.newest(call.path["id"])
        if alert is not None and not call.caller.key.allows_project(alert.project):
            raise commands.unknown(alert.alert_id)
        by, until = said.said_by(call.caller), said.until_ms(time.time_ns() // 1_000_000)
        told = await commands.command(call.services, call.path["id"], action, by, said.note, until)
        return told.shown() if told.done else Answer(202, told.shown())

    return tell


async def get_status(call: Call) -> Any:
    """Tells projects, and to keys for all projects also topics, the lag of every job, and who waits for a scorer."""
    told: dict[str, Any] = {"projects": call.projects()}
    if not call.caller.key.allows_project("*"):
        return told
    try:
        topics, jobs = await asyncio.to_thread(status.topics_and_lag, call.services.settings)
        waiting = await asyncio.to_thread(waiters.waiters, call.services.settings, WAITERS_READ_S)
    except KafkaException as error:
        raise Refused(503, "kafka_unavailable", f"Kafka does not answer: {error.args[0].str()}") from error
    return {**told, "topics": topics, "jobs": jobs, "waiting": waiters.told(waiting)}


async def check_destinations(call: Call) -> Any:
    """Asks every destination whether it could be told something, without telling it."""
    configuration = call.services.config.configuration
    settings = call.services.settings
    own = destination_checks.check_own(settings) if call.caller.key.allows_project("*") else None
    found = await destination_checks.check(configuration, call.projects(), settings) + (await own if own else [])
    return {"checks": [result.told() for result in found]}


async def test_destination(call: Call) -> Any:
    """Sends a test message to every recipient of a destination."""
    name, project, settings = call.path["name"], call.project, call.services.settings
    try:
        spec = destinations.find(call.services.config.configuration, project, name)
    except Permanent as refusal:
        raise Refused(409, "unreadable", refusal.reason) from refusal
    if spec is None:
        raise Refused(404, "not_found", f"there is no destination {name!r} in project {project}")
    now_ms = time.time_ns() // 1_000_000
    outcomes = await send_test.send(spec, project, name, settings, os.urandom(16).hex(), now_ms)
    return {"outcomes": [asdict(outcome) for outcome in outcomes]}


async def get_openapi(_: Call) -> Any:
    """Describes the api."""
    return openapi(ENDPOINTS, VERSION)


ENDPOINTS = (
    Endpoint("PUT", "/api/v1/documents", "apply documents, all or none", put_documents, "admin", ("project",), DOCUMENTS),
    Endpoint("POST", "/api/v1/documents/diff", "what applying would change", diff_documents, "admin", ("project",), DOCUMENTS),
    Endpoint("GET", "/api/v1/documents", "list documents", get_documents, "read", ("kind", "project", "name")),
    Endpoint("DELETE", "/api/v1/documents/{kind}/{name}", "delete a document", delete_document, "admin", ("project",)),
    Endpoint("POST", "/api/v1/keys", "make a key", create_key, "admin", (), NEW_KEY, 201),
    Endpoint("GET", "/api/v1/keys", "list keys", list_keys, "admin"),
    Endpoint("DELETE", "/api/v1/keys/{id}", "revoke a key", revoke_key, "admin"),
    Endpoint("POST", "/api/v1/readers", "make a ClickHouse user that reads one project", create_reader, "admin", (), NEW_READER, 201),
    Endpoint("GET", "/api/v1/readers", "list such users", list_readers, "admin"),
    Endpoint("DELETE", "/api/v1/readers/{id}", "remove such a user", remove_reader, "admin"),
    Endpoint("GET", "/api/v1/alerts", "list alerts", list_alerts, "read", ("project", "state")),
    Endpoint("POST", "/api/v1/alerts/{id}/acknowledge", "say that somebody looks after it", telling("acknowledge"), "develop", (), NOTES["acknowledge"]),
    Endpoint("POST", "/api/v1/alerts/{id}/resolve", "end it; the cooldown goes on", telling("resolve"), "develop", (), NOTES["resolve"]),
    Endpoint("POST", "/api/v1/alerts/{id}/snooze", "tell nobody until a time", telling("snooze"), "develop", (), NOTES["snooze"]),
    *dataset_endpoints.ENDPOINTS,
    Endpoint("GET", "/api/v1/status", "projects, topics, lag", get_status, "read"),
    Endpoint("GET", "/api/v1/destinations/check", "whether destinations could be told", check_destinations, "admin", ("project",)),
    Endpoint("POST", "/api/v1/destinations/{name}/test", "send a test message", test_destination, "admin", ("project",)),
    *scorer_endpoints.ENDPOINTS,
    Endpoint("GET", "/api/v1/openapi.json", "this description", get_openapi, "read"),
)  # fmt: skip
