"""`vedette scorers`: what judges here. Uploading is a command of the SDK: `vedette upload_scorer`."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from streams.cli import completion, context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import FINDINGS, Failure
from streams.cli.output import show, table, talk

NameArgument = Annotated[str, typer.Argument(help="as `scorers ls` shows it", autocompletion=completion.scorers)]
COLUMNS = ("name", "project", "type", "judges", "threshold", "enabled", "version", "by", "at")


def ls(project: ProjectOption = None, output: OutputOption = "table", data_dir: DataDirOption = None) -> None:
    """Lists scorers: uploaded ones and others; `*` is what the organization has for all its projects."""
    found = context.api(data_dir).get("/api/v1/scorers", project=project)["scorers"]
    show(found, [_row(one) for one in found], COLUMNS, output)


def show_one(
    name: NameArgument,
    project: ProjectOption = None,
    version: Annotated[str | None, typer.Option(help="an earlier one; its first digits are enough")] = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Shows a scorer: its versions, and of an uploaded one the code, the requirements and what they were resolved to."""
    told = _get(name, project, version, data_dir)
    if output != "table":
        show(told, [], (), output)
        return
    table([_row(told)], COLUMNS)
    typer.echo()
    table(told["versions"], ("version", "by", "at"))
    for part in ("notes", "requirements", "lock", "code"):
        text = "\n".join(told.get(part) or ()) if part == "notes" else told.get(part, "")
        if text:
            typer.echo(f"\n{part}:\n{text.rstrip()}")


def diff(
    name: NameArgument,
    old: Annotated[str | None, typer.Argument(help="a version; without: the one before the newest")] = None,
    new: Annotated[str | None, typer.Argument(help="a version; without: the newest")] = None,
    project: ProjectOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Shows what changed between two versions; exit code 3 when something did."""
    newer = _get(name, project, new, data_dir)
    older = _get(name, project, old or _before(newer), data_dir)
    lines = _differences(older, newer)
    if lines:
        typer.echo("\n".join(lines))
        raise typer.Exit(FINDINGS)


def disable(name: NameArgument, project: ProjectOption = None, data_dir: DataDirOption = None) -> None:
    """Lets a scorer judge nothing more, at once; evaluations that ask for it are skipped."""
    _set_enabled(name, project, data_dir, enabled=False)


def enable(name: NameArgument, project: ProjectOption = None, data_dir: DataDirOption = None) -> None:
    """Lets a disabled scorer judge again."""
    _set_enabled(name, project, data_dir, enabled=True)


def delete(name: NameArgument, project: ProjectOption = None, data_dir: DataDirOption = None) -> None:
    """Deletes a scorer; evaluations that ask for it wait for a new one of its name."""
    told = context.api(data_dir).delete(_path(name), project=project)
    talk(f"scorer {name!r} of {_place(told)} is deleted")


def _set_enabled(name: str, project: str | None, data_dir: Path | None, *, enabled: bool) -> None:
    told = context.api(data_dir).put(f"{_path(name)}/enabled", {"enabled": enabled}, project=project)
    talk(f"scorer {name!r} of {_place(told)} is {'enabled' if told['enabled'] else 'disabled'}")


def _get(name: str, project: str | None, version: str | None, data_dir: Path | None) -> dict[str, Any]:
    told: dict[str, Any] = context.api(data_dir).get(_path(name), project=project, version=version)
    return told


def _before(newer: dict[str, Any]) -> str:
    versions = [one["version"] for one in newer["versions"]]
    at = len(versions) - 1 - versions[::-1].index(newer["version"])
    if at == 0:
        raise Failure(f"scorer {newer['name']!r} has only one version, {newer['version']}")
    return str(versions[at - 1])


def _differences(older: dict[str, Any], newer: dict[str, Any]) -> list[str]:
    from difflib import unified_diff

    parts = ("threshold", "enabled", "requirements", "lock", "code")
    return [
        line
        for part in parts
        for line in unified_diff(
            str(older.get(part, "")).splitlines(),
            str(newer.get(part, "")).splitlines(),
            f"{part} {older['version']}",
            f"{part} {newer['version']}",
            lineterm="",
        )
    ]


def _path(name: str) -> str:
    return f"/api/v1/scorers/{quote(name, safe='')}"


def _place(told: dict[str, Any]) -> str:
    return f"project {told['project']}" if told["project"] else "all projects"


def _row(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "project": one["project"] or "*"}
