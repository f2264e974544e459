"""One attempt to tell what the ledger says, with whatever comes of it turned into the entries' next states."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.destination import DestinationSpec, EmailSpec, PagerDutySpec
from schemas.documents.rule import RuleSpec
from sinks import template
from sinks.message import Message, compose, digest
from sinks.sink import Permanent, Transient
from sinks.slack import PACE_S, Slack
from streams import destinations, observe, surroundings
from streams.api.alerts import Alerts
from streams.gather import Gatherer
from streams.logic import delivery as deliveries
from streams.logic import in_effect, telling
from streams.logic.configuration import Configuration
from streams.logic.ledger import Ledger
from streams.logic.quiet import Quiet, Surroundings, quiet
from streams.logic.rules import RuleVersion
from streams.settings import Settings

log = structlog.get_logger()

JOB = "deliver"
ATTEMPT_S = 15.0
GATHER_S = 300.0
"""How long one change may take to fill a dataset: a cooldown may have kept a hundred thousand subjects quiet."""
HOUR_MS = 3600_000
OUTCOMES = Counter("vedette_deliveries_total", "Ends of attempts to tell an alert change", ["state"])

Outcome = tuple[list[Delivery], float]
"""Entries after an attempt, those that are new first; and for how many seconds the destination is to be left alone."""


def now_ms() -> int:
    """Returns the wall clock: retries have no other."""
    return time.time_ns() // 1_000_000


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


@dataclass(frozen=True)
class Teller:
    """Tells ledger entries, and decides when nobody is to be told."""

    settings: Settings
    confirmed: Callable[[], Configuration]
    """Returns the configuration once it is known to be complete; may wait."""
    attempt_s: float = ATTEMPT_S
    alerts: Alerts = field(default_factory=Alerts)
    gatherer: Gatherer = field(init=False)
    _free_at: dict[tuple[str, str], float] = field(default_factory=dict)
    """By Slack token and channel: when the next message may be posted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gatherer", Gatherer(self.settings, JOB))

    async def __call__(self, entry: Delivery, ledger: Ledger) -> Outcome:
        """Returns the entries after the attempt: the one that was given, those told in the same message, and those that a fallback gets."""
        told, pause_s = await self._told(entry, ledger)
        if any(one.state == "failed" for one in told):
            told = await asyncio.to_thread(self._with_fallbacks, entry, told)
        for one in told:
            _note(one)
        return told, pause_s

    async def review(self, held: Sequence[Delivery]) -> list[Delivery]:
        """Returns what becomes of entries that are kept quiet; those that stay as they are are left out."""
        configuration = await asyncio.to_thread(self.confirmed)
        projects = {entry.project for entry in held}
        around = {project: surroundings.of(configuration, self.alerts, project) for project in projects}
        reviewed = [self._reviewed(entry, around[entry.project]) for entry in held]
        return [entry for entry in reviewed if entry is not None]

    def _reviewed(self, entry: Delivery, around: Surroundings) -> Delivery | None:
        newest = self.alerts.newest(entry.alert_id)
        return deliveries.reviewed(entry, newest, self._quiet(entry, around), now_ms())

    def _quiet(self, entry: Delivery, around: Surroundings) -> Quiet | None:
        if entry.alert is None:
            return None
        return quiet(entry.alert, entry.destination, around, now_ms(), self.alerts.newest(entry.alert_id))

    async def _told(self, entry: Delivery, ledger: Ledger) -> Outcome:
        try:
            return await self._send(entry, ledger), 0.0
        except TimeoutError:
            limit_s = GATHER_S if telling.dataset_of(entry) else self.attempt_s
            return _again(entry, Transient(f"no answer within {limit_s:g} s"))
        except Transient as failure:
            return _again(entry, failure)
        except Permanent as failure:
            return [deliveries.failed(entry, failure.reason, now_ms())], 0.0
        except Exception as error:  # a mistake of ours must not stop the other destinations
            log.exception("unexpected failure of a sink", destination=entry.destination, alert=entry.alert_id)
            return _again(entry, Transient(f"unexpected {type(error).__name__}; the job's log has the details"))

    async def _send(self, entry: Delivery, ledger: Ledger) -> list[Delivery]:
        if entry.alert is None:
            raise Permanent("the ledger's entry lacks its alert change")
        configuration = await asyncio.to_thread(self.confirmed)
        if dataset := telling.dataset_of(entry):
            return [await self._fill(entry, entry.alert, dataset, configuration)]
        spec = destinations.of_entry(configuration, entry.project, entry.destination, entry.recipient)
        decided = self._decided(entry, spec, ledger, configuration)
        if decided is not None:
            return [decided]
        if isinstance(spec, EmailSpec) and self._too_many(entry, spec, ledger):
            return await self._digest(entry, spec, ledger, configuration)
        return [await self._message(entry, spec, ledger, configuration)]

    def _decided(
        self, entry: Delivery, spec: DestinationSpec, ledger: Ledger, configuration: Configuration
    ) -> Delivery | None:
        """Returns the entry when it is not to be told, or not now."""
        reason = telling.not_told(entry, spec, ledger.reference(entry), untold=ledger.untold(entry))
        if isinstance(spec, PagerDutySpec) and self._goes_on(entry):
            reason = "a newer alert of the rule and group is open, and has the same incident"
        if reason and telling.reminds(entry):
            return deliveries.snoozed(entry, now_ms())
        around = surroundings.of(configuration, self.alerts, entry.project)
        silent = self._quiet(entry, around) if telling.pages(entry) else None
        if silent is not None:
            return deliveries.held(entry, silent, now_ms())
        return None if reason is None else deliveries.suppressed(entry, reason, now_ms())

    def _goes_on(self, entry: Delivery) -> bool:
        """Tells whether what a late word would resolve has fired anew since."""
        newer = (one for one in self.alerts.open(entry.project) if one.alert_id != entry.alert_id)
        same = any((one.rule, one.group_key) == (entry.rule, entry.group_key) for one in newer)
        return entry.alert is not None and entry.alert.kind == "resolved" and same

    async def _message(
        self, entry: Delivery, spec: DestinationSpec, ledger: Ledger, configuration: Configuration
    ) -> Delivery:
        message, note = self._composed(entry, spec, ledger.reference(entry), configuration)
        reference = await self._deliver(message, spec, entry)
        if telling.reminds(entry):
            return deliveries.snoozed(entry, now_ms(), reference)
        return deliveries.sent(entry, reference, now_ms(), note or deliveries.why_now(entry))

    async def _deliver(self, message: Message, spec: DestinationSpec, entry: Delivery) -> str:
        sink = destinations.sink(spec, entry.project, self.settings)
        if isinstance(sink, Slack):
            await self._turn(sink)
        async with asyncio.timeout(self.attempt_s):
            reference = await sink.send(message)
        if entry.alert is not None and not entry.kept_quiet:
            observe.E2E_SECONDS.labels(JOB).observe(max(now_ms() - entry.alert.changed_at, 0) / 1000)
        return reference

    async def _turn(self, sink: Slack) -> None:
        """Waits until the channel may get its next message; several destinations may name one channel."""
        channel, now = (sink.token, sink.channel), time.monotonic()
        at = max(self._free_at.get(channel, now), now)
        self._free_at[channel] = at + PACE_S
        await asyncio.sleep(at - now)

    def _composed(
        self, entry: Delivery, spec: DestinationSpec, reference: str, configuration: Configuration
    ) -> tuple[Message, str]:
        """Returns the message, and what is to be noted about its template."""
        if entry.alert is None:
            raise Permanent("the ledger's entry lacks its alert change")
        message = compose(
            entry.alert,
            rule(configuration, entry.alert),
            self.settings.public_url,
            entry.recipient,
            reference,
            quiet=not telling.pages(entry) and entry.alert.kind != "resolved",
            kept_quiet=entry.kept_quiet,
            instead_of=entry.instead_of,
        )
        return template.applied(message, spec.template)

    def _too_many(self, entry: Delivery, spec: EmailSpec, ledger: Ledger) -> bool:
        return ledger.messages_since(entry, now_ms() - HOUR_MS) >= spec.digest_above

    async def _digest(
        self, entry: Delivery, spec: EmailSpec, ledger: Ledger, configuration: Configuration
    ) -> list[Delivery]:
        """Gathers for a while, then tells everything that is pending for the recipient in one mail."""
        if now_ms() < entry.planned_at + deliveries.DIGEST_MS:
            return [deliveries.gathered(entry, now_ms())]
        together = [entry, *(one for one in ledger.company(entry, deliveries.DIGEST_MOST) if one != entry)]
        decided = {id(one): self._decided(one, spec, ledger, configuration) for one in together}
        gathered = [one for one in together if decided[id(one)] is None]
        messages = [self._composed(one, spec, "", configuration)[0] for one in gathered]
        reference = await self._deliver(digest(messages, self.settings.public_url), spec, entry)
        note = f"in a digest of {len(gathered)}"
        told = [deliveries.sent(one, reference, now_ms(), note) for one in gathered]
        return [*told, *(one for one in decided.values() if one is not None)]

    async def _fill(self, entry: Delivery, change: AlertChange, dataset: str, configuration: Configuration) -> Delivery:
        reason = telling.adds_nothing(change)
        if reason is not None:
            return deliveries.suppressed(entry, reason, now_ms())
        patient = entry.attempts < deliveries.PATIENT_ATTEMPTS
        async with asyncio.timeout(GATHER_S):
            added, of = await self.gatherer.add(change, _versioned(configuration, change), dataset, patient=patient)
        return deliveries.sent(entry, f"{added} of {of} subjects were new", now_ms())

    def _with_fallbacks(self, entry: Delivery, told: list[Delivery]) -> list[Delivery]:
        """What failed for good is told by the destination's fallback, if it names one."""
        configuration = self.confirmed()
        fallback = _fallback(configuration, entry)
        if fallback is None or entry.alert is None:
            return told
        name, spec = fallback
        (failure,) = told
        instead = deliveries.instead(entry, name, spec, failure.reason, now_ms())
        return [*instead, failure.model_copy(update={"reason": f"{failure.reason}; told {name!r} instead"})]


def find(configuration: Configuration, project: str, name: str) -> DestinationSpec | None:
    """Returns a destination for planning: one that cannot be read has no recipients, and sending tells what is wrong."""
    try:
        return destinations.find(configuration, project, name)
    except Permanent:
        return None


def _fallback(configuration: Configuration, entry: Delivery) -> tuple[str, DestinationSpec | None] | None:
    spec = find(configuration, entry.project, entry.destination)
    if spec is None or spec.fallback is None:
        return None
    return spec.fallback, find(configuration, entry.project, spec.fallback)


def _versioned(configuration: Configuration, change: AlertChange) -> RuleVersion:
    """The rule at the version of a change, with the time since which its windows count; a deleted one as it was when it fired."""
    project, name, version = change.project, change.rule, change.rule_version
    found = in_effect.rule_of_event(configuration, project, name, version, change.changed_at)
    return found or RuleVersion(project, name, version, rule(configuration, change))


def _again(entry: Delivery, failure: Transient) -> Outcome:
    return [deliveries.retry(entry, failure.reason, failure.retry_after_s, now_ms())], failure.retry_after_s or 0.0


def _note(told: Delivery) -> None:
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
