"""What the watcher tells about a stage, and how: by destinations of its own, that need nothing of the pipeline."""

from typing import Annotated, Any

import structlog
from pydantic import Field, TypeAdapter

from schemas.documents.destination import DestinationSpec
from schemas.ids import hashed
from sinks.message import Message, utc
from sinks.sink import Permanent, Sink, Transient
from streams import destinations
from streams.logic.delivery import recipients
from streams.settings import Settings
from streams.watch.canary import PROJECT
from streams.watch.stages import STAGES, News

log = structlog.get_logger()

_SPECS: TypeAdapter[Any] = TypeAdapter(list[Annotated[DestinationSpec, Field(discriminator="type")]])

Page = tuple[Sink, str]
"""A destination and its recipient."""


def pages(settings: Settings) -> list[Page]:
    """Returns whom to page, as `VEDETTE_WATCH_PAGE` says; its secrets are the watcher's own environment.

    Raises:
        ValueError: it is no list of destinations.
        Permanent: a secret is missing.
    """
    own = settings.model_copy(update={"env_allow": {PROJECT: ["*"]}})
    specs = _SPECS.validate_python(settings.watch_page)
    return [(destinations.sink(spec, PROJECT, own), one) for spec in specs for one in recipients(spec)]


def message(news: News, recipient: str, public_url: str, now: int) -> Message:
    """Returns what to tell somebody about a stage."""
    topic = f"Vedette: {news.stage} is wedged"
    state = "resolved" if news.kind == "recovered" else "firing"
    first = hashed(PROJECT, news.stage, str(news.since), "0", recipient)
    word = {"wedged": "Wedged", "still wedged": "Still wedged", "recovered": "Recovered"}[news.kind]
    return Message(
        project=PROJECT,
        rule="vedette watch",
        alert_id=hashed(PROJECT, news.stage, str(news.since)),
        change=news.number,
        state=state,
        recipient=recipient,
        identity=hashed(PROJECT, news.stage, str(news.since), str(news.number), recipient) if news.number else first,
        first_identity=first,
        topic=topic,
        headline=f"{word}: {topic}",
        cause="canaries come through again" if state == "resolved" else STAGES[news.stage],
        facts=(("Stage", news.stage), ("Since", utc(news.since)), ("Now", utc(now))),
        samples=(),
        url=public_url,
        at_ms=now,
    )


async def tell(whom: list[Page], news: News, public_url: str, now: int) -> bool:
    """Tells everybody; returns whether anybody was reached."""
    reached = False
    for sink, recipient in whom:
        try:
            await sink.send(message(news, recipient, public_url, now))
            reached = True
        except (Transient, Permanent) as failure:
            log.error("nobody paged", recipient=recipient, reason=failure.reason, stage=news.stage)
    return reached
