"""`topics`, `migrate`: what stands on Kafka and in ClickHouse, made and checked."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

from typing import Annotated

import typer

from streams.cli import context
from streams.cli.context import DataDirOption
from streams.cli.failure import FINDINGS
from streams.cli.output import table, talk

CheckOption = Annotated[
    bool, typer.Option("--check", help="change nothing; exit code 3 when something is not as it must be")
]


def topics(check: CheckOption = False, data_dir: DataDirOption = None) -> None:  # noqa: FBT002
    """Creates the topics that are missing and sets how long each is kept, or checks them all."""
    from confluent_kafka import KafkaException

    from streams import topics

    settings = context.settings(data_dir)
    if not check:
        created = context.told(lambda: topics.create(settings), KafkaException)
        talk(f"{len(created)} topics created")
        kept = context.told(lambda: topics.retain(settings), KafkaException)
        talk(f"{len(kept)} kept otherwise than before" if kept else "all are kept as long as before")
        for name in [*created, *kept]:
            typer.echo(name)
        return
    findings = context.told(lambda: topics.check(settings), KafkaException)
    if findings:
        table([vars(finding) for finding in findings], ("topic", "problem", "fix"))
        raise typer.Exit(FINDINGS)
    talk("all topics are as they must be")


def migrate(check: CheckOption = False, data_dir: DataDirOption = None) -> None:  # noqa: FBT002
    """Brings ClickHouse's tables to this release, or tells what is different."""
    from sinks.clickhouse import migrate
    from sinks.clickhouse.client import connect
    from sinks.sink import Permanent, Transient
    from streams.store import flavour

    settings = context.settings(data_dir)
    known = (Transient, Permanent, migrate.MigrationRefused, ValueError)
    url = settings.clickhouse_url.get_secret_value()
    clickhouse = context.told(lambda: connect(url, settings.clickhouse_database), *known)
    if not check:
        applied = context.told(lambda: migrate.migrate(clickhouse, flavour(settings)), *known)
        talk(f"{len(applied)} migrations applied")
        for name in applied:
            typer.echo(name)
        return
    findings = context.told(lambda: migrate.check(clickhouse, flavour=flavour(settings)), *known)
    for finding in findings:
        typer.echo(finding)
    if findings:
        raise typer.Exit(FINDINGS)
    talk("the tables are as they must be")
