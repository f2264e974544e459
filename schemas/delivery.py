"""Deliveries: the ledger of alert change x destination x recipient."""

from typing import Literal

from pydantic import Field

from schemas.alert import AlertChange
from schemas.record import Record

DeliveryState = Literal["pending", "sent", "failed", "suppressed"]


class Delivery(Record):
    """Where one telling of one alert change stands."""

    project: str
    destination: str = Field(description="name of a Destination, or `email` for addresses written into the rule")
    alert_id: str
    change: int
    recipient: str = ""
    state: DeliveryState
    rule: str = ""
    group_key: str = "{}"
    attempts: int = 0
    reason: str = ""
    due_at: int = Field(default=0, description="when a pending one is tried next, milliseconds")
    planned_at: int = Field(
        default=0, description="when it was to be told first: its planning, or the end of its quiet"
    )
    changed_at: int = 0
    reference: str = Field(
        default="", description="what the destination calls the message, e.g. Slack's channel and ts"
    )
    alert: AlertChange | None = Field(
        default=None, description="what to tell: while pending, and while suppressed until something ends"
    )
    looks: int = Field(default=0, description="how often something other than an attempt was decided about it")
    kept_quiet: str = Field(default="", description="why it was not told when it was planned")
    instead_of: str = Field(default="", description="the destination that failed, and why: this one is told instead")
