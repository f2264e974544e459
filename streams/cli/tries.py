"""`vedette scorers try`: an uploaded scorer judges one example, and everything that came of it is shown."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import FAILED, USAGE, Failure
from streams.cli.output import show
from streams.cli.scorers import NameArgument

TRY_WITHIN_S = 630
"""A scorer's longest deadline, and its start."""


def try_once(
    name: NameArgument,
    example: Annotated[Path, typer.Option(help="a JSON file with the fields of an example")],
    project: ProjectOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Lets an uploaded scorer judge one example, and shows score, reason, log and time; nothing is recorded."""
    api = context.api(data_dir).within(TRY_WITHIN_S)
    told = api.post(f"/api/v1/scorers/{quote(name, safe='')}/try", {"fields": _fields(example)}, project=project)
    if output == "table":
        _tell(told)
    else:
        show(told, [], (), output)
    if told["outcome"] == "error":
        raise typer.Exit(FAILED)


def _fields(file: Path) -> dict[str, Any]:
    try:
        fields = orjson.loads(file.read_bytes())
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", USAGE) from error
    except orjson.JSONDecodeError as error:
        raise Failure(f"{file} is no JSON: {error}", USAGE) from error
    if not isinstance(fields, dict):
        raise Failure(
            f'{file} holds no JSON object: write the fields, such as {{"request": "…", "response": "…"}}', USAGE
        )
    return fields


def _tell(told: dict[str, Any]) -> None:
    value = "" if told["value"] is None else f" {told['value']:g}"
    against = "" if told["threshold"] is None or not value else f" (threshold {told['threshold']:g})"
    typer.echo(f"{told['outcome']}{value}{against}")
    rows = {
        "reason": told["reason"],
        "label": told["label"],
        "time": f"{told['seconds']:.2f} s",
        "cost": f"${told['cost_usd']:.6f}" if told["cost_usd"] else "",
    }
    for name, text in rows.items():
        if text:
            typer.echo(f"{name + ':':8} {text}")
    if told["log"]:
        typer.echo(f"log:\n{told['log'].rstrip()}")
