"""`vedette doctor`: looks at everything that an installation stands on and tells what is wrong, with the fix."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import context
from streams.cli.context import DataDirOption
from streams.cli.failure import FINDINGS, Failure
from streams.cli.output import talk

if TYPE_CHECKING:
    from streams.cli.client import Client
    from streams.doctor.result import Result

SIGNS = {"ok": "ok", "finding": "BAD", "unknown": "?"}
COLOURS = {"ok": "green", "finding": "red", "unknown": "yellow"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
) -> None:
    """Looks at everything that this installation stands on, and tells what is wrong and how to mend it; exit code 3 then."""
    settings = context.settings(data_dir)
    from streams.doctor import examination

    api: Client | None
    try:
        api = context.api(data_dir)
    except Failure:
        api = None
    results = examination.examine(settings, api, data_dir or context.DEFAULT_DATA_DIR)
    found = [result for result in results if result.state == "finding"]
    if as_json:
        told = {"findings": len(found), "checks": [result.told() for result in results]}
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(results)
        unknown = sum(result.state == "unknown" for result in results)
        talk(
            f"{len(found)} findings; {unknown} could not be told; {len(results) - len(found) - unknown} as they must be"
        )
    if found:
        raise typer.Exit(FINDINGS)


def _show(results: "Sequence[Result]") -> None:
    if sys.stdout.isatty():
        _table(results)
        return
    for result in results:
        typer.echo(f"{SIGNS[result.state]:<4}{result.check}: {result.what}{': ' if result.value else ''}{result.value}")
        if result.fix:
            typer.echo(f"      {result.fix}")


def _table(results: "Sequence[Result]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "check", "what", "how it is", "fix", box=None, pad_edge=False)
    for result in results:
        sign = f"[{COLOURS[result.state]}]{SIGNS[result.state]}[/]"
        table.add_row(sign, *map(escape, (result.check, result.what, result.value, result.fix)))
    Console().print(table)
