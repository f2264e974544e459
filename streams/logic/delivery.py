"""What becomes of an alert change: who is told, when it is tried again, when we give up. All pure: times are arguments."""

from collections.abc import Callable, Iterable
from typing import Literal, assert_never

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.destination import DestinationSpec, EmailSpec, PagerDutySpec, SlackSpec, WebhookSpec
from schemas.documents.rule import AddToDataset, Notify, RuleSpec, SendEmail
from schemas.ids import hashed, partition_of, record_key

FindDestination = Callable[[str], DestinationSpec | None]

IN_RULE = "email"
"""The destination of addresses that stand in the rule itself."""
DATASET = "dataset/"
"""Begins the destination of a dataset: no Destination's name has a slash."""
PATIENT_ATTEMPTS = 10
"""So often, about nine minutes long, the fields of a subject are waited for before it goes into a dataset without them."""

FIRST_PAUSE_MS = 1000
LONGEST_PAUSE_MS = 5 * 60_000
LONGEST_RETRY_AFTER_MS = 3600_000
GIVE_UP_AFTER_MS = 24 * 3600_000
LEAST_ATTEMPTS = 20
"""Before we give up, whatever the clock says: one that jumped a day ahead has not tried for a day."""
FORGET_AFTER_MS = 14 * 24 * 3600_000
"""Terminal entries leave the ledger after this time."""

Telling = Literal["page", "edit"]


def telling(change: AlertChange) -> Telling:
    """Returns whether a change is news that pages people, or only edits what they were told.

    Fired and resolved page, and so does a renotified alert as long as nobody has acknowledged it.
    """
    match change.kind:
        case "fired" | "resolved":
            return "page"
        case "renotified":
            return "edit" if change.state == "acknowledged" else "page"
        case "acknowledged" | "snoozed":
            return "edit"
        case _:
            assert_never(change.kind)


def plan(change: AlertChange, spec: RuleSpec, destination: FindDestination, now_ms: int) -> list[Delivery]:
    """Returns what is to be done about one alert change: one entry per destination and recipient, pending or suppressed.

    `spec` is the rule at the version that the change names, `destination` finds the newest spec of a destination. A destination that
    does not exist is planned too: sending tells what is wrong.
    """
    return [_entry(change, name, recipient, now_ms) for name, recipient in _targets(spec, destination)]


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


def sent(delivery: Delivery, reference: str, now_ms: int) -> Delivery:
    """Returns the entry after it was told."""
    return _final(
        delivery, state="sent", reason="", reference=reference, attempts=delivery.attempts + 1, changed_at=now_ms
    )


def failed(delivery: Delivery, reason: str, now_ms: int) -> Delivery:
    """Returns the entry after a failure that no retry changes."""
    return _final(delivery, state="failed", reason=reason, attempts=delivery.attempts + 1, changed_at=now_ms)


def suppressed(delivery: Delivery, reason: str, now_ms: int) -> Delivery:
    """Returns the entry when people are not to be told, and why."""
    return _final(delivery, state="suppressed", reason=reason, changed_at=now_ms)


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


def not_told(change: AlertChange, spec: DestinationSpec, reference: str) -> str | None:
    """Returns why a change is not to be told at all, or None. `reference` names the alert's earlier message at this destination."""
    if change.kind == "renotified" and change.until > change.changed_at:
        return "the alert is snoozed"
    if telling(change) == "page":
        return None
    if isinstance(spec, EmailSpec):
        return f"{change.kind} while {change.state}: mail is sent when an alert fires or resolves"
    return None if reference else "there is no earlier message to edit"


def dataset_of(delivery: Delivery) -> str:
    """Returns the dataset that an entry fills, nothing when it tells people."""
    return delivery.destination.removeprefix(DATASET) if delivery.destination.startswith(DATASET) else ""


def adds_nothing(change: AlertChange) -> str | None:
    """Returns why a change brings a dataset nothing, or None: only what fires or resolves tells of new matches."""
    return None if change.kind in ("fired", "renotified", "resolved") else f"{change.kind} adds nothing to a dataset"


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


def _entry(change: AlertChange, destination: str, recipient: str, now_ms: int) -> Delivery:
    return Delivery(
        project=change.project,
        destination=destination,
        alert_id=change.alert_id,
        change=change.change,
        recipient=recipient,
        state="pending",
        rule=change.rule,
        group_key=change.group_key,
        due_at=now_ms,
        planned_at=now_ms,
        changed_at=now_ms,
        alert=change,
    )


def _final(delivery: Delivery, **changed: object) -> Delivery:
    return delivery.model_copy(update={**changed, "due_at": 0, "alert": None})


def _pause_ms(delivery: Delivery) -> int:
    doubled = min(FIRST_PAUSE_MS << min(delivery.attempts, 30), LONGEST_PAUSE_MS)
    return round(doubled * (0.8 + 0.4 * _share(delivery)))


def _share(delivery: Delivery) -> float:
    """A number in [0, 1) from the entry's identity and attempt, so that retries spread and a test can compute them."""
    text = hashed(delivery.project, key(delivery).decode(), str(delivery.attempts))
    return int(text[:8], 16) / 2**32
