"""`apply`, `diff`, `get`, `delete`, `schema`: configuration as code."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from streams.cli import context
from streams.cli.client import ApiError
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import FINDINGS, Failure
from streams.cli.output import show, talk

if TYPE_CHECKING:
    from streams.document_files import Source

FilesOption = Annotated[
    list[Path], typer.Option("--file", "-f", help="YAML or JSON, a directory of them, or - for stdin", show_default=False)
]  # fmt: skip
COLUMNS = ("result", "kind", "name", "project", "version")


def apply(
    files: FilesOption, project: ProjectOption = None, output: OutputOption = "table", data_dir: DataDirOption = None
) -> None:
    """Applies documents, all of them or none; returns when they are in effect."""
    sources, documents = _read(files, project)
    api = context.api(data_dir)
    try:
        told = api.put("/api/v1/documents", documents)["documents"]
    except ApiError as error:
        raise _explained(error, sources) from error
    _warn(told)
    show(told, told, COLUMNS, output)


def diff(files: FilesOption, project: ProjectOption = None, data_dir: DataDirOption = None) -> None:
    """Shows what `apply` would change; exit code 3 when there is something."""
    sources, documents = _read(files, project)
    api = context.api(data_dir)
    try:
        told = api.post("/api/v1/documents/diff", documents)["documents"]
    except ApiError as error:
        raise _explained(error, sources) from error
    _warn(told)
    for one in told:
        if one["diff"]:
            typer.echo(one["diff"])
    if any(one["diff"] for one in told):
        raise typer.Exit(FINDINGS)


def get(
    kind: Annotated[str, typer.Argument(help="scorer, rule, destination, provider or silence")],
    name: Annotated[str | None, typer.Argument(help="of one document")] = None,
    project: ProjectOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Shows documents as they can be applied again; without --project of all projects that the key may use."""
    found = context.api(data_dir).get("/api/v1/documents", kind=kind, name=name, project=project)["documents"]
    if name is not None and not found:
        raise Failure(f"there is no {kind} {name!r}" + (f" in project {project}" if project else ""))
    rows = [_row(one) for one in found]
    show([one["document"] for one in found], rows, ("kind", "name", "project", "version", "description"), output)


def _row(one: dict[str, Any]) -> dict[str, Any]:
    return {"kind": one["document"]["kind"], **one["document"]["metadata"], "version": one["version"]}


def delete(
    kind: Annotated[str, typer.Argument(help="scorer, rule, destination, provider or silence")],
    name: str,
    project: ProjectOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Deletes a document; returns when the deletion is in effect."""
    path = f"/api/v1/documents/{quote(kind, safe='')}/{quote(name, safe='')}"
    told = context.api(data_dir).delete(path, project=project)
    _warn([told])
    show(told, [told], COLUMNS, "table")


def schema() -> None:
    """Prints the JSON Schema of all kinds, for editors."""
    from streams.documents import json_schema_text

    typer.echo(json_schema_text())


def _read(files: Sequence[Path], project: str | None) -> "tuple[list[Source], list[Any]]":
    """The documents of files, checked here first: only here are lines and columns known."""
    from streams.document_files import Unreadable, parse, read
    from streams.documents import Invalid, check, with_project

    try:
        sources = [s for f in files for s in (parse(sys.stdin.read(), "stdin") if str(f) == "-" else read([f]))]
    except Unreadable as error:
        raise Failure(str(error)) from error
    documents, lines = [], []
    for source in sources:
        try:
            data = with_project(source.data(), project)
            check(data)
            documents.append(data)
        except Invalid as error:
            lines += [source.explain(problem) for problem in error.problems]
    if lines:
        raise Failure("\n".join(lines))
    if not documents:
        raise Failure(f"{', '.join(map(str, files))}: no documents")
    return sources, documents


def read_documents(files: Sequence[Path], project: str | None = None) -> list[Any]:
    """Returns the documents of files.

    Raises:
        Failure: a file cannot be read or a document breaks its schema; with file, line and column.

    """
    from streams.documents import check

    _, documents = _read(files, project)
    return [check(document) for document in documents]


def _explained(error: ApiError, sources: "Sequence[Source]") -> Failure:
    from streams.documents import Problem

    problems = error.body.get("problems") or []
    lines = [sources[p["index"]].explain(Problem(tuple(p["path"]), p["message"])) for p in problems]
    return Failure("\n".join(lines)) if lines else error


def _warn(told: Sequence[dict[str, Any]]) -> None:
    for one in told:
        for warning in one["warnings"]:
            talk(f"warning: {one['kind']} {one['name']!r}: {warning}")
