"""Tells people about alerts: plans every change into the ledger `vedette.deliveries`, and sends what is pending there.

Planning is a plain batch loop over `vedette.alerts`; its offsets are committed when the ledger has acknowledged the plans. Sending
(`streams/sending.py`) knows only the ledger. A crash between the two repeats a telling or a plan, and never loses one.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.destination import DestinationSpec
from schemas.documents.rule import RuleSpec
from schemas.topics import Topic
from sinks.message import compose
from sinks.sink import Permanent, Transient
from streams import destinations, kafka, loop, observe, topics
from streams.config_feed import ConfigFeed
from streams.gather import Gatherer
from streams.logic import delivery as deliveries
from streams.logic import in_effect
from streams.logic.configuration import Configuration
from streams.logic.rules import RuleVersion
from streams.loop import Loop
from streams.records import Out, Received
from streams.sending import Sender
from streams.settings import Settings, load

log = structlog.get_logger()

JOB = "deliver"
ATTEMPT_S = 15.0
GATHER_S = 300.0
"""How long one change may take to fill a dataset: a cooldown may have kept a hundred thousand subjects quiet."""
OUTCOMES = Counter("vedette_deliveries_total", "Ends of attempts to tell an alert change", ["state"])


def now_ms() -> int:
    """Returns the wall clock: retries have no other."""
    return time.time_ns() // 1_000_000


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
            find = partial(_find, configuration, change.project)
            for entry in deliveries.plan(change, rule(configuration, change), find, now_ms()):
                yield Out(
                    Topic.DELIVERIES,
                    deliveries.key(entry),
                    entry,
                    headers=(("vedette-project", entry.project.encode()),),
                    partition=deliveries.partition(entry, self.partitions),
                )


def rule(configuration: Configuration, change: AlertChange) -> RuleSpec:
    """Returns the rule at the version that an alert change names, else as it was when the alert fired (it may be deleted since).

    Raises:
        Permanent: there is no such version.

    """
    version = configuration.version("Rule", change.project, change.rule, change.rule_version)
    version = version or configuration.in_effect("Rule", change.project, change.fired_at).get(change.rule)
    if version is None:
        raise Permanent(f"rule {change.rule!r} of project {change.project!r} has no version {change.rule_version}")
    return RuleSpec.model_validate_json(version.spec)


def _find(configuration: Configuration, project: str, name: str) -> DestinationSpec | None:
    try:
        return destinations.find(configuration, project, name)
    except Permanent:  # planned without a recipient; sending tells what is wrong
        return None


@dataclass(frozen=True)
class Teller:
    """One attempt to tell one ledger entry, with whatever can go wrong turned into the entry's next state."""

    settings: Settings
    confirmed: Callable[[], Configuration]
    """As the planner's."""
    attempt_s: float = ATTEMPT_S
    gatherer: Gatherer = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gatherer", Gatherer(self.settings, JOB))

    async def __call__(self, entry: Delivery, reference: str) -> tuple[Delivery, float]:
        """Returns the entry after the attempt, and for how many seconds the destination asked to be left alone.

        `reference` is what the destination called the alert's earlier message.
        """
        told, pause_s = await self._told(entry, reference)
        OUTCOMES.labels(told.state).inc()
        log.info(
            "told",
            state=told.state,
            project=told.project,
            destination=told.destination,
            alert=told.alert_id,
            change=told.change,
            reason=told.reason,
        )
        return told, pause_s

    async def _told(self, entry: Delivery, reference: str) -> tuple[Delivery, float]:
        try:
            return await self._send(entry, reference), 0.0
        except TimeoutError:
            limit_s = GATHER_S if deliveries.dataset_of(entry) else self.attempt_s
            return _again(entry, Transient(f"no answer within {limit_s:g} s"))
        except Transient as failure:
            return _again(entry, failure)
        except Permanent as failure:
            return deliveries.failed(entry, failure.reason, now_ms()), 0.0
        except Exception as error:  # a mistake of ours must not stop the other destinations
            log.exception("unexpected failure of a sink", destination=entry.destination, alert=entry.alert_id)
            return _again(entry, Transient(f"unexpected {type(error).__name__}; the job's log has the details"))

    async def _send(self, entry: Delivery, reference: str) -> Delivery:
        change = entry.alert
        if change is None:
            raise Permanent("the ledger's entry lacks its alert change")
        configuration = await asyncio.to_thread(self.confirmed)
        if dataset := deliveries.dataset_of(entry):
            return await self._fill(entry, change, dataset, configuration)
        spec = destinations.of_entry(configuration, entry.project, entry.destination, entry.recipient)
        reason = deliveries.not_told(change, spec, reference)
        if reason is not None:
            return deliveries.suppressed(entry, reason, now_ms())
        quiet, terms = deliveries.telling(change) == "edit", rule(configuration, change)
        message = compose(change, terms, self.settings.public_url, entry.recipient, reference, quiet=quiet)
        sink = destinations.sink(spec, entry.project, self.settings)
        async with asyncio.timeout(self.attempt_s):
            told = await sink.send(message)
        observe.E2E_SECONDS.labels(JOB).observe(max(now_ms() - change.changed_at, 0) / 1000)
        return deliveries.sent(entry, told, now_ms())

    async def _fill(self, entry: Delivery, change: AlertChange, dataset: str, configuration: Configuration) -> Delivery:
        reason = deliveries.adds_nothing(change)
        if reason is not None:
            return deliveries.suppressed(entry, reason, now_ms())
        patient = entry.attempts < deliveries.PATIENT_ATTEMPTS
        async with asyncio.timeout(GATHER_S):
            added, of = await self.gatherer.add(change, _versioned(configuration, change), dataset, patient=patient)
        return deliveries.sent(entry, f"{added} of {of} subjects were new", now_ms())


def _versioned(configuration: Configuration, change: AlertChange) -> RuleVersion:
    """The rule at the version of a change, with the time since which its windows count; a deleted one as it was when it fired."""
    project, name, version = change.project, change.rule, change.rule_version
    found = in_effect.rule_of_event(configuration, project, name, version, change.changed_at)
    return found or RuleVersion(project, name, version, rule(configuration, change))


def _again(entry: Delivery, failure: Transient) -> tuple[Delivery, float]:
    return deliveries.retry(entry, failure.reason, failure.retry_after_s, now_ms()), failure.retry_after_s or 0.0


def main(settings: Settings) -> None:
    """Runs the job until SIGTERM or SIGINT; leaves with 1 when either stage cannot go on."""
    observe.configure_logs(settings, JOB)
    try:
        feed = _prepared(settings)
    except (Permanent, RuntimeError) as wrong:
        log.error("the job ends", error=str(wrong))
        sys.exit(1)
    planner = Planner(feed.confirmed, partitions(settings))
    planning = Loop(JOB, settings, {Topic.ALERTS: AlertChange}, planner.deliveries, writes=(Delivery,))
    sender = Sender(settings, Teller(settings, feed.confirmed), on_end=planning.stopping.set)
    sender.start()
    try:
        loop.run(planning)
    finally:
        sender.stop()
        feed.stop()
    if sender.error is not None:
        log.error("the job ends", error=str(sender.error))
        sys.exit(1)


def _prepared(settings: Settings) -> ConfigFeed:
    """Checks what would otherwise fail with the first alert, and reads the configuration."""
    if settings.smtp_url is not None:
        destinations.mail_by_url(settings.smtp_url, settings.smtp_from)
    topics.wait_until_ready(settings, [kafka.topic_name(settings, Topic.DELIVERIES)])
    feed = ConfigFeed(settings)
    feed.start()
    return feed


def partitions(settings: Settings) -> int:
    """Returns the number of partitions of the ledger."""
    name = kafka.topic_name(settings, Topic.DELIVERIES)
    return len(kafka.admin(settings).list_topics(name, timeout=30).topics[name].partitions)


if __name__ == "__main__":
    main(load())
