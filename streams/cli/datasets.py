"""`vedette datasets`: what rules and people collected, out of ClickHouse."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import USAGE, Failure
from streams.cli.output import show, talk

if TYPE_CHECKING:
    from sinks.clickhouse.client import ClickHouse

FORMATS = {"jsonl": "TSVRaw", "csv": "CSVWithNames", "parquet": "Parquet"}
"""Each is made by ClickHouse itself."""
COLUMNS = ("project", "dataset", "items", "newest", "added_by")

_LS = """
SELECT project, dataset, count() AS items, toString(max(added_at)) AS newest, arraySort(groupUniqArray(10)(added_by)) AS added_by
FROM {ours:Identifier}.dataset_items FINAL
WHERE NOT removed AND ({project:String} = '' OR project = {project:String})
GROUP BY project, dataset ORDER BY project, dataset
"""
# ruff: noqa: S608 - what is put together here are constants; every value is bound on the server
_WHERE = "WHERE project = {project:String} AND dataset = {dataset:String} AND NOT removed"
_COUNT = f"SELECT count() FROM {{ours:Identifier}}.dataset_items FINAL {_WHERE}"
_ITEM = ("item_id", "subject_kind", "subject_id", "trace_id", "added_by", "added_at")
_LINE = "".join(f"'\"{name}\":', toJSONString({name}), ','," for name in _ITEM)
"""The fields are JSON text already: as a value of JSONEachRow they would be a text in a text."""


def _export(form: str) -> str:
    what = f"concat('{{', {_LINE} '\"fields\":', fields, '}}')" if form == "jsonl" else ", ".join((*_ITEM, "fields"))
    return f"SELECT {what} FROM {{ours:Identifier}}.dataset_items FINAL {_WHERE} ORDER BY added_at, position, item_id"


def ls(project: ProjectOption = None, output: OutputOption = "table", data_dir: DataDirOption = None) -> None:
    """Lists datasets: how many items each has, and who added them."""
    clickhouse = _clickhouse(data_dir)
    rows = _told(lambda: clickhouse.rows(_LS, {"project": project or ""}))
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    show(found, found, COLUMNS, output)


def export(
    name: Annotated[str, typer.Argument(help="of the dataset")],
    form: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = "jsonl",
    file: Annotated[Path | None, typer.Option("--output", "-o", help="default: standard output")] = None,
    project: Annotated[str, typer.Option("--project", "-p")] = "default",
    data_dir: DataDirOption = None,
) -> None:
    """Writes the items of a dataset, the oldest first; `fields` is a JSON object."""
    if form not in FORMATS:
        raise Failure(f"--format {form}: there are {', '.join(FORMATS)}", USAGE)
    if file is None and form == "parquet" and sys.stdout.isatty():
        raise Failure("parquet is binary: name a file with -o", USAGE)
    clickhouse, wanted = _clickhouse(data_dir), {"project": project, "dataset": name}
    ((items,),) = _told(lambda: clickhouse.rows(_COUNT, wanted))
    if not items:
        raise Failure(f"project {project} has no dataset {name!r}; `vedette datasets ls` lists them")
    with ExitStack() as open_files:
        try:
            target = sys.stdout.buffer if file is None else open_files.enter_context(file.open("wb"))
        except OSError as error:
            raise Failure(f"{file} cannot be written: {error.strerror}") from error
        for piece in _told(lambda: clickhouse.formatted(_export(form), FORMATS[form], wanted)):
            target.write(piece)
    talk(f"{items} items")


def _clickhouse(data_dir: Path | None) -> "ClickHouse":
    from sinks.clickhouse.client import connect

    settings = context.settings(data_dir)
    url = settings.clickhouse_url.get_secret_value()
    found: ClickHouse = _told(lambda: connect(url, settings.clickhouse_database))
    return found


def _told(work: Callable[[], Any]) -> Any:
    from sinks.sink import Permanent, Transient

    return context.told(work, Transient, Permanent, ValueError)
