"""A tracer's beginning and end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from vedette import __version__
from vedette.address import find
from vedette.core import Core, cores, log, tell
from vedette.outbox import Outbox
from vedette.provider import provider_for, tracer_of
from vedette.scope import name_text
from vedette.sender import Sender
from vedette.switches import WATCH
from vedette.threads import carry

NOWHERE = (
    "no complete pair of URL and key was found, so nothing is recorded; set VEDETTE_API_URL and VEDETTE_API_KEY "
    "(`vedette up` prints them), or give Tracer(api_url=, api_key=)"
)


def build(
    project: str,
    url: str | None,
    key: str | None,
    environment: str,
    resource_attributes: Mapping[str, Any],
    redact: Callable[[str], str] | None,
    *,
    carries_into_threads: bool,
) -> Core:
    """Returns the inside of a tracer; one that has nowhere to report to, or could not be made, stays off."""
    core = Core(project, {"vedette.environment": name_text(environment)} if environment else {})
    try:
        address = find(url, key, os.environ)
        if address is None:
            tell(NOWHERE)
            return core
        resource = {
            "service.name": os.environ.get("OTEL_SERVICE_NAME") or project,
            "vedette.sdk.version": __version__,
            **resource_attributes,
        }
        outbox = Outbox()
        sender = Sender(outbox, address, project, resource, redact)
        outbox.sender = sender
        core.otel = tracer_of(provider_for(core, resource))
        core.outbox, core.sender = outbox, sender
        cores.append(core)
        WATCH.start()
        if carries_into_threads:
            carry()
    except Exception as error:
        core.trouble("the tracer could not be made", error)
    return core


def leave(core: Core, timeout_s: float) -> bool:
    """Sends what waits, each batch tried once, and turns the tracer off for good."""
    sender, core.outbox, core.on, core.judging = core.sender, None, False, False
    if core in cores:
        cores.remove(core)
    try:
        return sender is None or sender.stop(timeout_s)
    except Exception as error:
        log.debug("the tracer could not be shut down", exc_info=error)
        return False


def _after_fork() -> None:
    """A child process starts anew: what waits belongs to its parent, and so do the threads and connections."""
    for core in cores:
        if core.outbox is not None and core.sender is not None:
            core.outbox.reset()
            core.sender.reset()
    WATCH.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
