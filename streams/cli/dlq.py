"""`vedette dlq`: dead letters, what could not be handled, and their way back."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import base64
import json
import time
from collections.abc import Callable, Iterator
from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import completion, context
from streams.cli.alerts import clock
from streams.cli.context import DataDirOption, OutputOption, ProjectOption
from streams.cli.failure import USAGE, Failure
from streams.cli.output import show, talk

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

    from streams.dead_letters import Letter, Plan, Wanted
    from streams.settings import Settings

COLUMNS = ("partition", "offset", "time", "job", "topic", "class", "replays", "message")
ACK_S = 60
"""Kafka has so long to acknowledge what is put back."""

TopicOption = Annotated[
    str | None,
    typer.Option("--topic", help="only of this topic, e.g. otlp_spans", autocompletion=completion.origins),
]
ClassOption = Annotated[str | None, typer.Option("--class", help="only of this class of failure, as `dlq ls` shows it")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="only those of so long ago or newer: 90s, 10m, 2h, 3d")
]


def ls(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="the newest so many")] = 50,
    project: ProjectOption = None,
    topic: TopicOption = None,
    of_class: ClassOption = None,
    since: SinceOption = None,
    output: OutputOption = "table",
    data_dir: DataDirOption = None,
) -> None:
    """Lists dead letters: what could not be handled, and why."""
    from streams.dead_letters import Wanted

    wanted, since_ms = Wanted(topic, of_class, project), since_of(since)
    settings = context.settings(data_dir)
    letters = (letter for _, letter in _letters(settings, wanted, since_ms))
    found = reversed(nlargest(limit, letters, key=attrgetter("time", "partition", "offset")))
    rows = [_row(letter) for letter in found]
    show(rows, rows, COLUMNS, output)


def show_one(
    partition: int,
    offset: int,
    raw: Annotated[bool, typer.Option("--raw", help="only the bytes as they came")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
) -> None:
    """Shows one dead letter with its headers and its bytes."""
    from streams.dead_letters import headers_of, letter_of

    message = _one(context.settings(data_dir), partition, offset)
    value = message.value() or b""
    if raw:
        typer.echo(value, nl=False)
        return
    key = message.key()
    headers = {name: text.decode(errors="replace") for name, text in headers_of(message).items()}
    told = {"headers": headers, "key": key.decode(errors="replace") if key else None, **_payload(value)}
    typer.echo(json.dumps({**_row(letter_of(message)), **told}, indent=2, ensure_ascii=False))


def replay(
    topic: TopicOption = None,
    of_class: ClassOption = None,
    since: SinceOption = None,
    project: ProjectOption = None,
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="of one letter, with --offset")] = None,
    offset: Annotated[int | None, typer.Option("--offset", min=0, help="of one letter, with --partition")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="put nothing back, tell what would be")] = False,  # noqa: FBT002
    data_dir: DataDirOption = None,
) -> None:
    """Puts dead letters back on the topic they came from, at their original ingest time; each record once."""
    from streams.dead_letters import Wanted

    if (partition is None) != (offset is None):
        raise Failure("--partition and --offset name one letter together; give both", USAGE)
    place = None if partition is None or offset is None else (partition, offset)
    wanted, since_ms = Wanted(topic, of_class, project, place), since_of(since)
    settings = context.settings(data_dir)
    plan = _plan(settings, wanted, since_ms)
    show_plan(plan)
    if place is not None and not plan.letters and not plan.left:
        raise Failure(f"there is no dead letter at {partition} {offset}; `vedette dlq ls` lists them")
    if dry_run:
        talk(f"{len(plan.letters)} records would be put back")
        return
    done = _put_back(settings, plan, wanted, since_ms) if plan.letters else 0
    talk(f"{done} records put back")


def show_plan(plan: "Plan") -> None:
    """Prints what goes back where, and tells on stderr what cannot."""
    rows = plan.counted()
    if rows:
        show(rows, rows, ("records", "topic", "job", "class"), "table")
    for origin, count in sorted(plan.left.items()):
        talk(f"{count} letters stay: this release has no topic {origin!r}")


def since_of(text: str | None) -> int:
    """Returns the time that a duration before now names in milliseconds, 0 for none.

    Raises:
        Failure: it is no duration.

    """
    from schemas.documents.base import parse_duration

    if text is None:
        return 0
    try:
        return max(int(time.time() * 1000) - parse_duration(text), 1)
    except ValueError as error:
        raise Failure(f"--since: {error}", USAGE) from error


def _plan(settings: "Settings", wanted: "Wanted", since_ms: int) -> "Plan":
    from streams.dead_letters import Plan

    plan = Plan()
    for _, letter in _letters(settings, wanted, since_ms):
        plan.add(letter)
    return plan


def _put_back(settings: "Settings", plan: "Plan", wanted: "Wanted", since_ms: int) -> int:
    """Reads the letters a second time, since a plan holds none of their bytes, and returns how many are acknowledged."""
    from streams import kafka

    producer = kafka.producer(settings, **{"delivery.timeout.ms": ACK_S * 1000})
    places, failed, sent = plan.places(), [], 0

    def acknowledged(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    try:
        for message, letter in _letters(settings, wanted, since_ms):
            if places.pop((letter.partition, letter.offset), None):
                _produce(settings, producer, message, letter, acknowledged)
                sent += 1
    finally:
        unsure = producer.flush(ACK_S + 5) + len(failed)
    if unsure:
        reason = f": {failed[0]}" if failed else ""
        raise Failure(f"{sent - unsure} records put back, {unsure} not acknowledged{reason}; replay them once more")
    return sent


def _produce(
    settings: "Settings",
    producer: "Producer",
    message: "Message",
    letter: "Letter",
    acknowledged: Callable[[object, object], None],
) -> None:
    from streams import kafka
    from streams.dead_letters import again
    from streams.records import PARTITION_UA

    origin = letter.origin
    if origin is None:
        return
    out = again(message, letter, origin)
    while True:
        try:
            producer.produce(
                kafka.topic_name(settings, out.topic), key=out.key, value=message.value(), headers=list(out.headers),
                partition=PARTITION_UA if out.partition is None else out.partition, on_delivery=acknowledged,
            )  # fmt: skip
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.5)


def _letters(settings: "Settings", wanted: "Wanted", since_ms: int) -> "Iterator[tuple[Message, Letter]]":
    from confluent_kafka import KafkaException

    from schemas.topics import Topic
    from streams.cli import reader
    from streams.dead_letters import letter_of

    try:
        one = reader.one(settings, Topic.DLQ, *wanted.place) if wanted.place else None
        found = reader.to_the_end(settings, Topic.DLQ, since_ms) if wanted.place is None else filter(None, [one])
        for message in found:
            letter = letter_of(message)
            if wanted.takes(letter):
                yield message, letter
    except (KafkaException, reader.NoTopic, reader.Silent) as error:
        raise Failure(context.sentence(error)) from error


def _one(settings: "Settings", partition: int, offset: int) -> "Message":
    from confluent_kafka import KafkaException

    from schemas.topics import Topic
    from streams.cli import reader

    found = context.told(lambda: reader.one(settings, Topic.DLQ, partition, offset), KafkaException, reader.NoTopic)
    if found is None:
        raise Failure(f"there is no dead letter at {partition} {offset}; `vedette dlq ls` lists them")
    return found  # type: ignore[no-any-return]


def _payload(value: bytes) -> dict[str, str]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _row(letter: "Letter") -> dict[str, Any]:
    where = {"partition": letter.partition, "offset": letter.offset, "time": clock(letter.time)}
    told = {"job": letter.job, "topic": letter.topic, "class": letter.error, "message": letter.message}
    return {**where, **told, "project": letter.project, "replays": letter.replays}
