"""`vedette alerts`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.output import show

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


def clock(ms: int) -> str:
    """Returns a time in milliseconds as ISO text in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
