"""`topics`, `migrate`, `dlq`, `tail`: commands that talk to Kafka and ClickHouse themselves."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import base64
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import context
from streams.cli.alerts import clock
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import FINDINGS, USAGE, Failure
from streams.cli.output import show, table, talk

if TYPE_CHECKING:
    from confluent_kafka import Message

    from streams.settings import Settings

CheckOption = Annotated[
    bool, typer.Option("--check", help="change nothing; exit code 3 when something is not as it must be")
]
DLQ_COLUMNS = ("partition", "offset", "time", "job", "topic", "class", "message")
READABLE = ("spans", "examples", "scores", "rule-events", "alerts", "deliveries")


def topics(check: CheckOption = False, data_dir: DataDirOption = None) -> None:  # noqa: FBT002
    """Creates the topics that are missing, or checks them all."""
    from confluent_kafka import KafkaException

    from streams import topics

    settings = context.settings(data_dir)
    if not check:
        created = context.told(lambda: topics.create(settings), KafkaException)
        talk(f"{len(created)} topics created")
        for name in created:
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
    findings = context.told(lambda: migrate.check(clickhouse), *known)
    for finding in findings:
        typer.echo(finding)
    if findings:
        raise typer.Exit(FINDINGS)
    talk("the tables are as they must be")


def dlq_ls(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="the newest so many")] = 50,
    project: ProjectOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Lists dead letters: what could not be handled, and why."""
    letters = [_letter(message) for message in _dead_letters(context.settings(data_dir))]
    wanted = [letter for letter in letters if project in (None, letter["project"])]
    newest = sorted(wanted, key=lambda letter: letter["time"])[-limit:]
    show(newest, newest, DLQ_COLUMNS, output)


def dlq_show(
    partition: int,
    offset: int,
    raw: Annotated[bool, typer.Option("--raw", help="only the bytes as they came")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
) -> None:
    """Shows one dead letter with its headers and its bytes."""
    message = _one_dead_letter(context.settings(data_dir), partition, offset)
    value = message.value() or b""
    if raw:
        typer.echo(value, nl=False)
        return
    key = message.key()
    told = {"headers": _headers(message), "key": key.decode(errors="replace") if key else None, **_payload(value)}
    typer.echo(json.dumps({**_letter(message), **told}, indent=2, ensure_ascii=False))


def _payload(value: bytes) -> dict[str, str]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _dead_letters(settings: "Settings") -> "Iterator[Message]":
    from confluent_kafka import KafkaException

    from schemas.topics import Topic
    from streams.cli import reader

    yield from context.told(lambda: list(reader.to_the_end(settings, Topic.DLQ)), KafkaException, reader.NoTopic)


def _one_dead_letter(settings: "Settings", partition: int, offset: int) -> "Message":
    for message in _dead_letters(settings):
        if (message.partition(), message.offset()) == (partition, offset):
            return message
    raise Failure(f"there is no dead letter at {partition} {offset}; `vedette dlq ls` lists them")


def _letter(message: "Message") -> dict[str, Any]:
    headers = _headers(message)
    told = {name: headers.get(f"vedette-error-{name}", "") for name in ("job", "topic", "class", "message")}
    where = {"partition": message.partition(), "offset": message.offset(), "time": clock(message.timestamp()[1])}
    return {**where, **told, "project": headers.get("vedette-project", "")}


def _headers(message: "Message") -> dict[str, str]:
    headers: dict[str, Any] = dict(message.headers() or ())
    return {name: (value or b"").decode(errors="replace") for name, value in headers.items()}


def tail(
    what: Annotated[str, typer.Argument(help=", ".join(READABLE))] = "scores",
    project: ProjectOption = None,
    from_beginning: Annotated[bool, typer.Option(help="from the oldest record that is kept")] = False,  # noqa: FBT002
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="end after so many")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Prints records as they come, one JSON object a line, until Ctrl-C."""
    if what not in READABLE:
        raise Failure(f"{what!r} cannot be followed; there are {', '.join(READABLE)}", USAGE)
    from confluent_kafka import KafkaException

    from streams.cli import reader

    settings = context.settings(data_dir)
    printed = 0
    try:
        for record in reader.follow(settings, what, from_beginning=from_beginning):
            if project in (None, record.get("project")):
                typer.echo(json.dumps(record, ensure_ascii=False))
                printed += 1
            if printed == limit:
                return
    except KafkaException as error:
        raise Failure(str(error.args[0])) from error
    except reader.NoTopic as error:
        raise Failure(str(error)) from error
    except KeyboardInterrupt:
        return
