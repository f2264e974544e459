"""`vedette why`: how something was judged, counted and told, or why it was not."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import context
from streams.cli.context import DataDirOption, OutputOption
from streams.cli.output import show

if TYPE_CHECKING:
    from streams.history.why import Line


def why(
    identity: Annotated[str, typer.Argument(metavar="ID", help="a trace, TRACE:SPAN, SPAN, an example, or RULE/GROUP")],
    project: Annotated[str, typer.Option("--project", "-p")] = "default",
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Explains sampling, verdicts, conditions, windows, cooldown and deliveries, by computing them again."""
    from sinks.clickhouse.client import connect
    from sinks.sink import Permanent, Transient
    from streams.cli import reader
    from streams.history.explainer import Explainer
    from streams.history.recorded import Topics

    settings = context.settings(data_dir)

    def run() -> "list[Line]":
        server = connect(settings.clickhouse_url.get_secret_value(), settings.clickhouse_database)
        with Topics(settings) as topics:
            return list(Explainer(topics, server, project, time.time_ns() // 1_000_000).lines(identity))

    lines = context.told(run, Transient, Permanent, ValueError, LookupError, reader.NoTopic, reader.Silent)
    rows = [asdict(line) for line in lines]
    show(rows, rows, ("stage", "about", "said"), output)
