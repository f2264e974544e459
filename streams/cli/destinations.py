"""`vedette send-test`."""

from typing import Annotated
from urllib.parse import quote

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import FAILED
from streams.cli.output import show


def send_test(
    destination: Annotated[str, typer.Argument(help="its name")],
    project: ProjectOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Sends a test message to a destination, and tells what became of it for each recipient."""
    path = f"/api/v1/destinations/{quote(destination, safe='')}/test"
    outcomes = context.api(data_dir).post(path, None, project=project)["outcomes"]
    show(outcomes, outcomes, ("recipient", "state", "reason"), output)
    if any(one["state"] != "sent" for one in outcomes):
        raise typer.Exit(FAILED)
