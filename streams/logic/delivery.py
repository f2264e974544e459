"""What becomes of an alert change: who is told, when it is tried again, when we give up. All pure: times are arguments."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.destination import DestinationSpec, EmailSpec, PagerDutySpec, SlackSpec, WebhookSpec
from schemas.documents.rule import AddToDataset, Notify, RuleSpec, SendEmail
from schemas.ids import hashed, partition_of, record_key
from streams.logic.quiet import SNOOZED, Quiet
from streams.logic.telling import DATASET

FindDestination = Callable[[str], DestinationSpec | None]

IN_RULE = "email"
"""The destination of addresses that stand in the rule itself."""
PATIENT_ATTEMPTS = 10
"""So often, about nine minutes long, the fields of a subject are waited for before it goes into a dataset without them."""

FIRST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 5 * 60_000
LONGEST_RETRY_AFTER_MS = 3600_000
GIVE_UP_AFTER_MS = 24 * 3600_000
LEAST_ATTEMPTS = 20
"""Before we give up, whatever the clock says: one that jumped a day ahead has not tried for a day."""
INHIBITION_MS = 5000
"""So long an alert waits, whose rule others keep quiet, for theirs: one cause often fires both."""
DIGEST_MS = 15 * 60_000
"""So long is gathered, once too many mails went, before it is told in one."""
DIGEST_MOST = 100
FORGOTTEN_MS = 60_000
"""An alert that is unknown so long after its change is resolved and forgotten."""
FORGET_AFTER_MS = 14 * 24 * 3600_000
"""Terminal entries leave the ledger after this time."""


def plan(
    change: AlertChange, spec: RuleSpec, destination: FindDestination, now_ms: int, wait_ms: int = 0
) -> list[Delivery]:
    """Returns what is to be done about one alert change: one pending entry per destination and recipient, due in `wait_ms`.

    `spec` is the rule at the version that the change names, `destination` finds the newest spec of a destination. A destination that
    does not exist is planned too: sending tells what is wrong.
    """
    return [_entry(change, name, recipient, now_ms, wait_ms) for name, recipient in _targets(spec, destination)]


def instead(
    delivery: Delivery, fallback: str, spec: DestinationSpec | None, reason: str, now_ms: int
) -> list[Delivery]:
    """Returns the entries that tell a destination's fallback what failed for good at the destination itself.

    They have the keys that the fallback's own tellings of the change have: whoever is told anyway is told once, and a circle of
    fallbacks ends where it began.
    """
    if delivery.alert is None:
        return []
    why = f"{delivery.destination} failed: {reason}"
    found = ("",) if spec is None else recipients(spec)
    made = [_entry(delivery.alert, fallback, recipient, now_ms, 0) for recipient in found]
    return [entry.model_copy(update={"instead_of": why, "kept_quiet": delivery.kept_quiet}) for entry in made]


def forgotten(appended_at: int, now_ms: int) -> bool:
    """Tells whether an alert change that was appended then is too old to be planned: the ledger no longer knows whether it was told."""
    return appended_at + FORGET_AFTER_MS <= now_ms


def recipients(spec: DestinationSpec) -> tuple[str, ...]:
    """Returns whom a destination tells: its channel, its addresses, its service or its host."""
    match spec:
        case EmailSpec():
            return spec.to
        case SlackSpec():
            return (spec.channel or "incoming webhook",)
        case PagerDutySpec():
            return ("pagerduty",)
        case WebhookSpec():
            return (spec.host,)


def sent(delivery: Delivery, reference: str, now_ms: int, note: str = "") -> Delivery:
    """Returns the entry after it was told; `note` is what else there is to say about it."""
    return _final(
        delivery, state="sent", reason=note, reference=reference, attempts=delivery.attempts + 1, changed_at=now_ms
    )


def why_now(delivery: Delivery) -> str:
    """Returns why an entry was told late or at another place, nothing when it was told as planned."""
    if delivery.instead_of:
        return f"because {delivery.instead_of}"
    return f"told late: {delivery.kept_quiet}" if delivery.kept_quiet else ""


def failed(delivery: Delivery, reason: str, now_ms: int) -> Delivery:
    """Returns the entry after a failure that no retry changes."""
    return _final(delivery, state="failed", reason=reason, attempts=delivery.attempts + 1, changed_at=now_ms)


def suppressed(delivery: Delivery, reason: str, now_ms: int) -> Delivery:
    """Returns the entry when people are not to be told, and why."""
    return _final(delivery, state="suppressed", reason=reason, changed_at=now_ms)


def waits(delivery: Delivery) -> bool:
    """Tells whether something is still to be decided about an entry: it is pending, or suppressed until something ends."""
    return delivery.state == "pending" or (delivery.state == "suppressed" and delivery.alert is not None)


def decisions(delivery: Delivery) -> int:
    """Returns how much has been decided about an entry that waits: of two records of it the one with more is the newer one."""
    return delivery.attempts + delivery.looks


def held(delivery: Delivery, quiet: Quiet, now_ms: int) -> Delivery:
    """Returns the entry while people are not to be told: suppressed, and told when the quiet ends if its alert goes on."""
    return _looked_at(
        delivery, now_ms, state="suppressed", reason=quiet.reason, kept_quiet=quiet.reason, due_at=quiet.until
    )


def snoozed(delivery: Delivery, now_ms: int, reference: str = "") -> Delivery:
    """Returns the entry of a snooze after it was shown, if it could be: what it ends with is a page."""
    until = delivery.alert.until if delivery.alert else 0
    return held(delivery, replace(SNOOZED, until=until), now_ms).model_copy(update={"reference": reference})


def reviewed(delivery: Delivery, newest: AlertChange | None, quiet: Quiet | None, now_ms: int) -> Delivery | None:
    """Returns what becomes of an entry that is kept quiet, or None when it stays as it is.

    `newest` is the alert's newest change as far as it was read, `quiet` what keeps the entry quiet now. When the quiet ends, an alert
    that goes on is told, by its newest change alone; when something else happened to the alert meanwhile, that is told or not in its
    own entry.
    """
    if newest is None and now_ms - delivery.changed_at > FORGOTTEN_MS:
        return suppressed(delivery, f"{delivery.reason}; then its alert was over", now_ms)
    if newest is not None and newest.change > delivery.change:
        return suppressed(delivery, f"{delivery.reason}; then the alert was {newest.kind}", now_ms)
    if quiet is None:
        return _looked_at(delivery, now_ms, state="pending", reason="", due_at=now_ms, planned_at=now_ms)
    return held(delivery, quiet, now_ms) if quiet.reason != delivery.reason else None


def gathered(delivery: Delivery, now_ms: int) -> Delivery:
    """Returns the entry while it waits for others, to be told with them in one mail."""
    due_at = delivery.planned_at + DIGEST_MS
    return _looked_at(delivery, now_ms, reason="gathered: too many mails went within the hour", due_at=due_at)


def retry(delivery: Delivery, reason: str, retry_after_s: float | None, now_ms: int) -> Delivery:
    """Returns the entry after a failure that may pass: pending until its next attempt, or failed 24 h after it was planned.

    Pauses double from 1 s to 5 min, ±20 %, and are never shorter than the destination asked for (at most 1 h).
    """
    if now_ms - delivery.planned_at >= GIVE_UP_AFTER_MS and delivery.attempts + 1 >= LEAST_ATTEMPTS:
        return failed(
            delivery, f"given up after 24 h and {delivery.attempts + 1} attempts; the last one: {reason}", now_ms
        )
    asked = min(round((retry_after_s or 0) * 1000), LONGEST_RETRY_AFTER_MS)
    due_at = now_ms + max(_pause_ms(delivery), asked)
    return delivery.model_copy(
        update={"attempts": delivery.attempts + 1, "reason": reason, "due_at": due_at, "changed_at": now_ms}
    )


def wait_s(delivery: Delivery, now_ms: int) -> float:
    """Returns how long an entry has to wait. One that is due later than any pause is long comes from a clock that was ahead: it waits no more."""
    wait_ms = delivery.due_at - now_ms
    return wait_ms / 1000 if 0 < wait_ms <= LONGEST_RETRY_AFTER_MS else 0.0


def key(delivery: Delivery) -> bytes:
    """Returns the ledger's key of an entry."""
    return record_key(delivery.project, delivery.destination, delivery.alert_id, delivery.change, delivery.recipient)


def partition(delivery: Delivery, partitions: int) -> int:
    """Returns the partition of an entry: all of one destination share one, and with it one owner."""
    return partition_of(record_key(delivery.project, delivery.destination), partitions)


def _targets(spec: RuleSpec, destination: FindDestination) -> Iterable[tuple[str, str]]:
    """Each destination and recipient once, in document order."""
    found = [target for action in spec.actions for target in _targets_of(action, destination)]
    return dict.fromkeys(found)


def _targets_of(action: Notify | SendEmail | AddToDataset, destination: FindDestination) -> list[tuple[str, str]]:
    if isinstance(action, Notify):
        found = destination(action.notify)
        return [(action.notify, recipient) for recipient in (("",) if found is None else recipients(found))]
    if isinstance(action, SendEmail):
        return [(IN_RULE, address) for address in action.email]
    return [(DATASET + action.dataset, "")]


def _entry(change: AlertChange, destination: str, recipient: str, now_ms: int, wait_ms: int) -> Delivery:
    return Delivery(
        project=change.project,
        destination=destination,
        alert_id=change.alert_id,
        change=change.change,
        recipient=recipient,
        state="pending",
        rule=change.rule,
        group_key=change.group_key,
        due_at=now_ms + wait_ms,
        planned_at=now_ms,
        changed_at=now_ms,
        alert=change,
    )


def _final(delivery: Delivery, **changed: object) -> Delivery:
    return delivery.model_copy(update={**changed, "due_at": 0, "alert": None})


def _looked_at(delivery: Delivery, now_ms: int, **changed: object) -> Delivery:
    return delivery.model_copy(update={**changed, "looks": delivery.looks + 1, "changed_at": now_ms})


def _pause_ms(delivery: Delivery) -> int:
    doubled = min(FIRST_PAUSE_MS << min(delivery.attempts, 30), LONGEST_PAUSE_MS)
    return round(doubled * (0.8 + 0.4 * _share(delivery)))


def _share(delivery: Delivery) -> float:
    """A number in [0, 1) from the entry's identity and attempt, so that retries spread and a test can compute them."""
    text = hashed(delivery.project, key(delivery).decode(), str(delivery.attempts))
    return int(text[:8], 16) / 2**32
