"""`vedette tail`: records as they come, one a line."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs: starting stays fast

import json
import select
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import completion, context
from streams.cli.completion import READABLE
from streams.cli.context import DataDirOption, ProjectOption
from streams.cli.dlq import since_of
from streams.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from confluent_kafka import Message

    from streams.cli import reader
    from streams.settings import Settings

FORMS = ("json", "line")
OPTIONS = {"trace_id": "trace"}
"""Options whose field has another name."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants to see."""

    topic: str
    """One of `READABLE`."""
    filters: dict[str, str]
    since_ms: int | None
    """None: from now on."""
    limit: int | None
    follow: bool
    form: str


def tail(
    what: Annotated[
        str, typer.Argument(metavar="TOPIC", help=", ".join(READABLE), autocompletion=completion.readable)
    ] = "scores",
    project: ProjectOption = None,
    agent: Annotated[str | None, typer.Option("--agent", "-a", help="only of this agent")] = None,
    trace: Annotated[str | None, typer.Option("--trace", help="only of this trace")] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="only of this scorer", autocompletion=completion.scorers)
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option("--outcome", help=", ".join(completion.OUTCOMES), autocompletion=completion.outcomes),
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="only of this rule", autocompletion=completion.rules)
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="begin so long ago (90s, 10m, 2h, 3d) instead of now")
    ] = None,
    from_beginning: Annotated[  # noqa: FBT002
        bool, typer.Option("--from-beginning", help="begin with the oldest that is kept")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help="end after so many; with --no-follow the newest so many"),
    ] = None,
    follow: Annotated[  # noqa: FBT002
        bool, typer.Option("--follow/--no-follow", "-f/ ", help="wait for more, or end with what is there")
    ] = True,
    output: Annotated[str, typer.Option("--output", "-o", help="json: a record a line; line: for people")] = "json",
    data_dir: DataDirOption = None,
) -> None:
    """Prints records as they come, one a line, until Ctrl-C."""
    fields = {"project": project, "agent": agent, "trace_id": trace, "scorer": scorer, "outcome": outcome, "rule": rule}
    filters = {name: value for name, value in fields.items() if value is not None}
    everything = from_beginning or (since is None and not follow)
    since_ms = 0 if everything else since_of(since) or None
    asked = Asked(what.removeprefix("vedette."), filters, since_ms, limit, follow, output)
    _refuse(asked)
    settings = context.settings(data_dir)
    try:
        _print(_followed(settings, asked) if follow else _standing(settings, asked))
    except KeyboardInterrupt:
        return


def _refuse(asked: Asked) -> None:
    if asked.topic not in READABLE:
        raise Failure(f"{asked.topic!r} cannot be followed; there are {', '.join(READABLE)}", USAGE)
    if asked.form not in FORMS:
        raise Failure(f"--output {asked.form}: there are {', '.join(FORMS)}", USAGE)
    from streams.cli import lines, reader

    _, cls = reader.TOPICS[asked.topic]
    if unknown := lines.unknown(cls, asked.filters):
        options = ", ".join(f"--{OPTIONS.get(name, name)}" for name in unknown)
        raise Failure(f"{options}: what stands on {asked.topic} tells no such thing", USAGE)


def _print(found: Iterable[str | None]) -> None:
    """None: nothing came for a moment; whoever reads us may have left meanwhile."""
    for line in found:
        if line is not None:
            typer.echo(line)
        elif _reader_left():
            raise BrokenPipeError


def _reader_left() -> bool:
    try:
        out = select.poll()
        out.register(sys.stdout.fileno(), 0)  # nothing is asked for: an error is told in any case
        return any(event & select.POLLERR for _, event in out.poll(0))
    except (OSError, ValueError, AttributeError):  # no file, or a system without poll
        return False


Line = tuple[int, str]
"""The time of a record in milliseconds, and what is printed of it."""
DEPTHS = (20, 2000, None)
"""The newest so many are looked for among the last offsets of each partition, so many times as far back; then in all."""


def _standing(settings: "Settings", asked: Asked) -> Iterator[str]:
    for depth in (None,) if asked.limit is None or asked.filters else DEPTHS:
        found = _kept(settings, asked, depth * asked.limit if depth and asked.limit else None)
        if asked.limit is None:
            yield from (text for _, text in found)
            return
        numbered = ((time_ms, number, text) for number, (time_ms, text) in enumerate(found))
        newest = nlargest(asked.limit, numbered)
        if len(newest) == asked.limit or depth is None:
            yield from (text for _, _, text in reversed(newest))
            return


def _kept(settings: "Settings", asked: Asked, last: int | None) -> Iterator[Line]:
    from streams.cli import reader

    topic, _ = reader.TOPICS[asked.topic]
    yield from filter(None, _shown(settings, asked, reader.to_the_end(settings, topic, asked.since_ms or 0, last)))


def _followed(settings: "Settings", asked: Asked) -> Iterator[str | None]:
    from streams.cli import reader

    topic, _ = reader.TOPICS[asked.topic]
    left = asked.limit
    for line in _shown(settings, asked, reader.follow(settings, topic, asked.since_ms)):
        yield line[1] if line else None
        left = left - 1 if left is not None and line is not None else left
        if left == 0:
            return


def _shown(settings: "Settings", asked: Asked, messages: "Iterable[Message | None]") -> Iterator[Line | None]:
    from confluent_kafka import KafkaException

    from streams.cli import reader

    decoder = reader.Decoder(settings)
    try:
        for message in messages:
            if message is None:
                yield None
            elif message.key() is not None:  # without a key: a tick
                yield from ((message.timestamp()[1], text) for text in _texts(decoder, asked, message))
    except (KafkaException, reader.NoTopic, reader.Silent) as error:
        raise Failure(context.sentence(error)) from error
    finally:
        decoder.close()


def _texts(decoder: "reader.Decoder", asked: Asked, message: "Message") -> Iterator[str]:
    from schemas.codec import Undecodable
    from streams.cli import lines, reader

    if message.value() is None:
        return  # a tombstone
    try:
        record = decoder.record(reader.TOPICS[asked.topic][1], message)
        if not lines.passes(record, asked.filters):
            return
        if asked.form == "line":
            yield from lines.lines(record, message.timestamp()[1], asked.filters)
        else:
            yield json.dumps(record.model_dump(mode="json"), ensure_ascii=False)
    except (Undecodable, ValueError) as error:
        if not asked.filters:
            where = {"partition": message.partition(), "offset": message.offset()}
            yield json.dumps({"undecodable": str(error), **where}, ensure_ascii=False)
