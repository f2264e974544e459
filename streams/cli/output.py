"""What commands print: data on stdout, talk on stderr."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from streams.cli.failure import USAGE, Failure


def talk(text: str) -> None:
    """Prints something for people, on stderr."""
    typer.echo(text, err=True)


def show(data: Any, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: str) -> None:
    """Prints `data` as JSON or YAML, or `rows` as a table."""
    if output == "table":
        table(rows, columns)
    elif output == "json":
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output == "yaml":
        from streams.document_files import yaml_text

        typer.echo(yaml_text(data), nl=False)
    else:
        raise Failure(f"--output {output}: there are table, json and yaml", USAGE)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Prints rows in aligned columns under a heading; nothing but a remark on stderr when there are none."""
    if not rows:
        talk("nothing")
        return
    lines = [[column.upper() for column in columns], *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        typer.secho(text, bold=True if number == 0 and sys.stdout.isatty() else None)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "" if value is None else " ".join(str(value).split())
