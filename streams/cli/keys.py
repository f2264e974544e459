"""`vedette keys`."""

from typing import Annotated

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption
from streams.cli.failure import USAGE, Failure
from streams.cli.output import show, talk


def create(
    scope: Annotated[
        list[str], typer.Option("--scope", help="ingest, read, develop, upload, admin; several by commas")
    ],
    project: Annotated[list[str] | None, typer.Option("--project", "-p", help="several by repeating")] = None,
    all_projects: Annotated[bool, typer.Option("--all-projects", help="for every project")] = False,  # noqa: FBT002
    label: Annotated[str, typer.Option(help="what it is for")] = "",
    output: Annotated[str, typer.Option("--output", "-o", help="text (the key alone), json or yaml")] = "text",
    data_dir: DataDirOption = None,
) -> None:
    """Makes a key and prints it, this once."""
    if all_projects and project:
        raise Failure("--project and --all-projects exclude each other", USAGE)
    scopes = [name for text in scope for name in text.split(",") if name]
    wanted = {"projects": project or [], "all": all_projects, "scopes": scopes, "label": label}
    made = context.api(data_dir).post("/api/v1/keys", wanted)
    talk(f"key {made['id']} for {', '.join(made['projects'])} with {', '.join(made['scopes'])}; it is shown only now")
    if output == "text":
        typer.echo(made["key"])
    else:
        show(made, [made], ("key",), output)


def ls(output: OutputOption = "table", data_dir: DataDirOption = None) -> None:
    """Lists keys, without their texts."""
    keys = context.api(data_dir).get("/api/v1/keys")["keys"]
    show(keys, keys, ("id", "projects", "scopes", "label"), output)


def revoke(
    key_id: Annotated[str, typer.Argument(help="as `keys ls` shows it")], data_dir: DataDirOption = None
) -> None:
    """Revokes a key; returns when no job takes it any more."""
    context.api(data_dir).delete(f"/api/v1/keys/{key_id}")
    talk(f"key {key_id} is revoked")
