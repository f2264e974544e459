"""The smallest plain job: it copies `vedette.examples` to `vedette.scores`, slowly enough to be killed in the middle."""

import time
from collections.abc import Sequence

from schemas.example import Example
from schemas.topics import Topic
from streams.loop import Loop, run
from streams.records import Out, Received
from streams.settings import Settings

READS = {Topic.EXAMPLES: Example}


def echo(batch: Sequence[Received]) -> list[Out]:
    time.sleep(0.02)
    return [Out(Topic.SCORES, received.key, received.of(Example)) for received in batch]


def main(settings: Settings) -> None:
    """Runs until SIGTERM."""
    run(Loop("echo", settings, READS, echo, writes=(Example,), batch=100, patience_s=1))
