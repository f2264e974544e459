"""`vedette silences`."""

import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import USAGE, Failure
from streams.cli.output import show, talk

COLUMNS = ("name", "state", "project", "matches", "starts", "ends", "reason", "by")
MATCHERS = ("rule", "severity", "destination")


def ls(project: ProjectOption = None, output: OutputOption = "table", data_dir: DataDirOption = None) -> None:
    """Lists silences: those that hold, those to come, those that are over."""
    found = context.api(data_dir).get("/api/v1/documents", kind="silence", project=project)["documents"]
    rows = [_row(one["document"], datetime.now(UTC)) for one in found]
    show(rows, rows, COLUMNS, output)


def create(
    reason: Annotated[str, typer.Option(help="why; stands with everything that is kept quiet")],
    for_: Annotated[str | None, typer.Option("--for", help="how long, as 90m or 8h")] = None,
    until: Annotated[str | None, typer.Option(help="a time instead, as 2030-01-31T08:00:00Z")] = None,
    starts: Annotated[str | None, typer.Option(help="a time; default: at once")] = None,
    rule: Annotated[str | None, typer.Option(help="alerts of this rule")] = None,
    group: Annotated[list[str] | None, typer.Option(help="of this group, as agent=Clerk; may be given again")] = None,
    severity: Annotated[str | None, typer.Option(help="of this severity: info, warning or critical")] = None,
    destination: Annotated[str | None, typer.Option(help="only at this destination")] = None,
    name: Annotated[str | None, typer.Option(help="default: one that is made up")] = None,
    project: ProjectOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Keeps quiet what matches everything that is given; returns when it holds."""
    spec: dict[str, Any] = {
        "rule": rule,
        "severity": severity,
        "destination": destination,
        "group": _group(group or []),
    }
    spec |= {"ends": _ends(for_, until), "starts": starts, "reason": reason, "by": _who()}
    metadata = {"name": name or f"silence-{secrets.token_hex(4)}", **({"project": project} if project else {})}
    document = {"apiVersion": "vedette/v1", "kind": "Silence", "metadata": metadata}
    given = {key: value for key, value in spec.items() if value}
    (told,) = context.api(data_dir).put("/api/v1/documents", [{**document, "spec": given}])["documents"]
    for warning in told["warnings"]:
        talk(f"warning: {warning}")
    typer.echo(told["name"])
    talk(f"quiet until {spec['ends']}; `vedette silences expire {told['name']}` ends it")


def expire(name: str, project: ProjectOption = None, data_dir: DataDirOption = None) -> None:
    """Ends a silence now: alerts that go on are told."""
    api = context.api(data_dir)
    found = api.get("/api/v1/documents", kind="silence", name=name, project=project)["documents"]
    if not found:
        raise Failure(f"there is no silence {name!r}; `vedette silences ls` lists them")
    document, now = found[0]["document"], datetime.now(UTC)
    state, own = _state(document["spec"], now), document["metadata"]["project"]
    if state == "over":
        talk("it is over already")
    elif state == "to come":
        api.delete(f"/api/v1/documents/silence/{quote(name, safe='')}", project=own)
        talk("it had not begun: deleted")
    else:
        api.put("/api/v1/documents", [{**document, "spec": {**document["spec"], "ends": now.isoformat()}}])
        talk("ended; alerts that go on are told now")


def _group(given: list[str]) -> dict[str, str]:
    wrong = next((text for text in given if "=" not in text), None)
    if wrong is not None:
        raise Failure(f"--group {wrong}: write it as agent=Clerk", USAGE)
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def _ends(for_: str | None, until: str | None) -> str:
    from schemas.documents.base import parse_duration  # noqa: PLC0415 - a command imports what it needs when it runs

    if (for_ is None) == (until is None):
        raise Failure("say how long with --for 2h, or until when with --until 2030-01-31T08:00:00Z", USAGE)
    if until is not None:
        return until
    try:
        lasts = timedelta(milliseconds=parse_duration(for_))
    except ValueError as error:
        raise Failure(f"--for: {error}", USAGE) from error
    return (datetime.now(UTC) + lasts).isoformat(timespec="seconds")


def _who() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER", "")


def _row(document: dict[str, Any], now: datetime) -> dict[str, Any]:
    spec, metadata = document["spec"], document["metadata"]
    given = [f"{key}={spec[key]}" for key in MATCHERS if spec.get(key)]
    given += [f"{key}={value}" for key, value in spec.get("group", {}).items()]
    told = {key: spec.get(key, "") for key in ("starts", "ends", "reason", "by")}
    return {"name": metadata["name"], "project": metadata["project"], "state": _state(spec, now), "matches": ", ".join(given), **told}  # fmt: skip


def _state(spec: dict[str, Any], now: datetime) -> str:
    if datetime.fromisoformat(spec["ends"]) <= now:
        return "over"
    return "to come" if spec.get("starts") and datetime.fromisoformat(spec["starts"]) > now else "holds"
