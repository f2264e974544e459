"""`vedette alerts`."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.output import show, talk

COLUMNS = ("state", "severity", "project", "rule", "group_key", "subjects", "renotified", "fired", "alert_id")


def ls(
    state: Annotated[str, typer.Option(help="open, all, firing, acknowledged or resolved")] = "open",
    project: ProjectOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Lists alerts, those that changed last first."""
    found = context.api(data_dir).get("/api/v1/alerts", state=state, project=project)["alerts"]
    rows = [{**alert, "fired": clock(alert["fired_at"])} for alert in found]
    show(found, rows, COLUMNS, output)


IdArgument = Annotated[str, typer.Argument(help="of the alert, as `vedette alerts ls` shows it")]
NoteOption = Annotated[str, typer.Option(help="why; stands with the alert")]


def ack(alert: IdArgument, note: NoteOption = "", data_dir: DataDirOption = None) -> None:
    """Says that somebody looks after an alert: its further firings page nobody."""
    _tell(alert, "acknowledge", {"note": note}, data_dir)


def resolve(alert: IdArgument, note: NoteOption = "", data_dir: DataDirOption = None) -> None:
    """Ends an alert. Its cooldown goes on."""
    _tell(alert, "resolve", {"note": note}, data_dir)


def snooze(
    alert: IdArgument,
    for_: Annotated[str, typer.Option("--for", help="how long, as 90m or 8h; 0s ends a snooze")] = "1h",
    note: NoteOption = "",
    data_dir: DataDirOption = None,
) -> None:
    """Tells nobody of an alert for a while."""
    _tell(alert, "snooze", {"note": note, "for": for_}, data_dir)


def _tell(alert_id: str, action: str, said: dict[str, str], data_dir: Path | None) -> None:
    by = os.environ.get("SUDO_USER") or os.environ.get("USER", "")
    answer = context.api(data_dir).post(f"/api/v1/alerts/{quote(alert_id, safe='')}/{action}", {**said, "by": by})
    alert = answer["alert"]
    until = f" until {clock(alert['until'])}" if action == "snooze" and answer["result"] == "done" else ""
    talk(answer.get("message") or f"{alert['kind']}{until}: {alert['rule']} {alert['group_key']}")


def clock(ms: int) -> str:
    """Returns a time in milliseconds as ISO text in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
