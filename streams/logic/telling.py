"""What a ledger entry means to people: a page, an edit of what they were told, or nothing."""

from typing import Literal, assert_never

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.destination import DestinationSpec, EmailSpec, SlackSpec

DATASET = "dataset/"
"""Begins the destination of a dataset: no Destination's name has a slash."""

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


def pages(delivery: Delivery) -> bool:
    """Tells whether telling an entry now pages people that an alert fires."""
    change = delivery.alert
    if change is None or change.state != "firing":
        return False
    return telling(change) == "page" or (change.kind == "snoozed" and bool(delivery.looks))


def reminds(delivery: Delivery) -> bool:
    """Tells whether an entry is a snooze that has not ended yet: it is told again, as a page, if its alert still fires then."""
    change = delivery.alert
    return change is not None and change.kind == "snoozed" and change.state == "firing" and not delivery.looks


def not_told(delivery: Delivery, spec: DestinationSpec, reference: str, *, untold: bool) -> str | None:
    """Returns why an entry is not to be told at all, or None.

    `reference` names the alert's earlier message at this destination; `untold` says that all that came before was kept quiet.
    """
    change = delivery.alert
    if change is None or pages(delivery):
        return None
    if change.kind == "resolved":
        return "it resolved before anybody was told that it fired" if untold else None
    if isinstance(spec, EmailSpec):
        return f"{change.kind} while {change.state}: mail is sent when an alert fires or resolves"
    if isinstance(spec, SlackSpec) and spec.webhook_url is not None:
        return f"{change.kind} while {change.state}: an incoming webhook edits no message"
    return None if reference else "there is no earlier message to edit"


def dataset_of(delivery: Delivery) -> str:
    """Returns the dataset that an entry fills, nothing when it tells people."""
    return delivery.destination.removeprefix(DATASET) if delivery.destination.startswith(DATASET) else ""


def adds_nothing(change: AlertChange) -> str | None:
    """Returns why a change brings a dataset nothing, or None: only what fires or resolves tells of new matches."""
    return None if change.kind in ("fired", "renotified", "resolved") else f"{change.kind} adds nothing to a dataset"
