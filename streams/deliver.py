"""Tells people about alerts: plans every change into the ledger `vedette.deliveries`, and sends what is pending there.

Planning is a plain batch loop over `vedette.alerts`; its offsets are committed when the ledger has acknowledged the plans. Sending
(`streams/sending.py`) knows only the ledger. A crash between the two repeats a telling or a plan, and never loses one.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.topics import Topic
from sinks.sink import Permanent
from streams import destinations, kafka, loop, observe, surroundings, topics
from streams.api.alerts import AlertFeed
from streams.config_feed import ConfigFeed
from streams.logic import delivery as deliveries
from streams.logic.configuration import Configuration
from streams.logic.quiet import inhibiting
from streams.loop import Loop
from streams.records import Out, Received
from streams.sending import Sender
from streams.settings import Settings, load
from streams.tell import JOB, Teller, find, now_ms, rule

log = structlog.get_logger()


@dataclass(frozen=True)
class Planner:
    """Stage 1: alert changes to ledger entries."""

    confirmed: Callable[[], Configuration]
    """Returns the configuration once it is known to be complete; may wait."""
    partitions: int
    """Of `vedette.deliveries`."""

    def deliveries(self, batch: Sequence[Received]) -> Iterator[Out]:
        """Yields one ledger record per alert change, destination and recipient.

        Raises:
            Permanent: the rule's version is unknown.

        """
        configuration = self.confirmed()
        for received in batch:
            change = received.of(AlertChange)
            if deliveries.forgotten(received.timestamp_ms, now_ms()):
                log.warning("too old to be told", alert=change.alert_id, change=change.change, project=change.project)
                continue
            known = partial(find, configuration, change.project)
            wait_ms = _wait_ms(configuration, change)
            for entry in deliveries.plan(change, rule(configuration, change), known, now_ms(), wait_ms):
                yield Out(
                    Topic.DELIVERIES,
                    deliveries.key(entry),
                    entry,
                    headers=(("vedette-project", entry.project.encode()),),
                    partition=deliveries.partition(entry, self.partitions),
                )


def _wait_ms(configuration: Configuration, change: AlertChange) -> int:
    quieting = inhibiting(surroundings.rules(configuration, change.project), change.rule)
    return deliveries.INHIBITION_MS if quieting and change.kind in ("fired", "renotified") else 0


def main(settings: Settings) -> None:
    """Runs the job until SIGTERM or SIGINT; leaves with 1 when either stage cannot go on."""
    observe.configure_logs(settings, JOB)
    try:
        feed, alerts = _prepared(settings)
    except (Permanent, RuntimeError) as wrong:
        log.error("the job ends", error=str(wrong))
        sys.exit(1)
    planner = Planner(feed.confirmed, partitions(settings))
    planning = Loop(JOB, settings, {Topic.ALERTS: AlertChange}, planner.deliveries, writes=(Delivery,))
    teller = Teller(settings, feed.confirmed, alerts=alerts.alerts)
    sender = Sender(settings, teller, on_end=planning.stopping.set)
    sender.start()
    try:
        loop.run(planning)
    finally:
        sender.stop()
        alerts.stop()
        feed.stop()
    if sender.error is not None:
        log.error("the job ends", error=str(sender.error))
        sys.exit(1)


def _prepared(settings: Settings) -> tuple[ConfigFeed, AlertFeed]:
    """Checks what would otherwise fail with the first alert, and reads the configuration and all alerts."""
    if settings.smtp_url is not None:
        destinations.mail_by_url(settings.smtp_url, settings.smtp_from)
    topics.wait_until_ready(settings, [kafka.topic_name(settings, topic) for topic in (Topic.DELIVERIES, Topic.ALERTS)])
    feed, alerts = ConfigFeed(settings), AlertFeed(settings)
    alerts.start()
    feed.start()
    alerts.wait_until_read()
    return feed, alerts


def partitions(settings: Settings) -> int:
    """Returns the number of partitions of the ledger."""
    name = kafka.topic_name(settings, Topic.DELIVERIES)
    return len(kafka.admin(settings).list_topics(name, timeout=30).topics[name].partitions)


if __name__ == "__main__":
    main(load())
