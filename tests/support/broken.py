"""A normaliser of a bad release: it can handle nothing that it reads."""

from collections.abc import Sequence

from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import loop
from streams.records import Out, Received
from streams.settings import Settings


def handle(batch: Sequence[Received]) -> list[Out]:
    raise KeyError("a field that no span has")


def main(settings: Settings) -> None:
    loop.run(loop.Loop("normalise", settings, {Topic.OTLP_SPANS: None}, handle, writes=(TraceChunk,)))
