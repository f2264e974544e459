"""`vedette keys`."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption
from streams.cli.failure import USAGE, Failure
from streams.cli.output import show, talk


def create(
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="ingest, read, develop, upload, admin; several by commas")
    ] = None,
    project: Annotated[list[str] | None, typer.Option("--project", "-p", help="several by repeating")] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="for every project")] = False,  # noqa: FBT002
    clickhouse: Annotated[  # noqa: FBT002
        bool, typer.Option("--clickhouse", help="a ClickHouse user that reads one project, instead of a key")
    ] = False,
    label: Annotated[str, typer.Option(help="what it is for")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="text (the key alone), json or yaml")] = "text",
    data_dir: DataDirOption = None,
) -> None:
    """Makes a key, or a user of ClickHouse, and prints it, this once."""
    if all_projects and project:
        raise Failure("--project and --all-projects exclude each other", USAGE)
    scopes = [name for text in scope or () for name in text.split(",") if name]
    if clickhouse:
        _create_reader(scopes, project or [], all_projects, label, output, data_dir)
        return
    if not scopes:
        raise Failure("say with --scope what the key may do: ingest, read, develop, upload or admin", USAGE)
    wanted = {"projects": project or [], "all": all_projects, "scopes": scopes, "label": label}
    made = context.api(data_dir).post("/api/v1/keys", wanted)
    talk(f"key {made['id']} for {', '.join(made['projects'])} with {', '.join(made['scopes'])}; it is shown only now")
    _print(made, "key", output)


def _create_reader(
    scopes: list[str],
    projects: list[str],
    all_projects: bool,  # noqa: FBT001
    label: str,
    output: str,
    data_dir: Path | None,
) -> None:
    if scopes or all_projects or len(projects) != 1:
        raise Failure("--clickhouse goes with exactly one --project, and with no --scope", USAGE)
    made = context.api(data_dir).post("/api/v1/readers", {"project": projects[0], "label": label})
    talk(
        f"ClickHouse user {made['id']} reads project {made['project']} of database {made['database']} at {made['url']}; "
        "its password is shown only now"
    )
    _print(made, "password", output)


def _print(made: dict[str, Any], secret: str, output: str) -> None:
    if output == "text":
        typer.echo(made[secret])
    else:
        show(made, [made], (secret,), output)


def ls(output: OutputOption = "table", data_dir: DataDirOption = None) -> None:
    """Lists keys and users of ClickHouse, without their secrets."""
    api = context.api(data_dir)
    keys = [*api.get("/api/v1/keys")["keys"], *api.get("/api/v1/readers")["readers"]]
    show(keys, keys, ("id", "projects", "scopes", "label"), output)


def revoke(
    key_id: Annotated[str, typer.Argument(help="as `keys ls` shows it")], data_dir: DataDirOption = None
) -> None:
    """Revokes a key, or removes a user of ClickHouse; returns when nobody takes it any more."""
    from sinks.clickhouse.readers import PREFIX

    kind = "readers" if key_id.startswith(PREFIX) else "keys"
    context.api(data_dir).delete(f"/api/v1/{kind}/{key_id}")
    talk(f"{'ClickHouse user' if kind == 'readers' else 'key'} {key_id} is revoked")
