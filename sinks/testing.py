"""Fakes that are shipped: a sink that remembers, and the alert that tests and `send-test` tell."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.rule import Evaluated
from sinks.message import Message


@dataclass
class Recorder:
    """A sink that keeps what it is told. Each call first uses up one of `failures`, as long as there are any; None lets it pass."""

    failures: Sequence[Exception | None] = ()
    takes_s: float = 0
    told: list[Message] = field(default_factory=list)
    calls: int = 0

    async def send(self, message: Message) -> str:
        """Remembers the message and returns `message-N`, or raises the next failure."""
        self.calls += 1
        await asyncio.sleep(self.takes_s)
        failure = self.failures[self.calls - 1] if self.calls <= len(self.failures) else None
        if failure is not None:
            raise failure
        self.told.append(message)
        return message.reference or f"message-{len(self.told)}"


RULE = RuleSpec.model_validate(
    {
        "when": {"all": [{"scorer": "Package Inquiry Scorer", "is": "fails"}]},
        "filter": {"agent": "CustomerServiceAgent", "environment": "production"},
        "group_by": ["agent"],
        "times": 3,
        "within": "5m",
        "cooldown": "30m",
        "actions": [{"notify": "oncall-slack"}, {"notify": "oncall-mail"}, {"email": ["me@example.com"]}],
    }
)
"""A rule that tells Slack, a mail destination and one address."""

FIRED = AlertChange(
    project="default",
    rule="Package Inquiry Failures",
    rule_version="0123456789abcdef",
    group=("CustomerServiceAgent",),
    group_key='{"agent":"CustomerServiceAgent"}',
    alert_id="6f2c1f8a9b3d4e5f60718293a4b5c6d7",
    change=0,
    kind="fired",
    state="firing",
    severity="warning",
    firing_id="6f2c1f8a9b3d4e5f60718293a4b5c6d7",
    fired_at=1_767_225_600_000,
    changed_at=1_767_225_600_000,
    cooldown_until=1_767_227_400_000,
    subjects=3,
    matched=3,
    cause="3 in 5m, 3 are enough",
    evidence=tuple(
        Evaluated(
            subject_kind="span",
            subject_id=f"{'ab' * 16}:{n:016x}",
            ingested_at=1_767_225_600_000 - n * 1000,
            value=0.0,
            reason=f"the answer never mentions the parcel ({n})",
            trace_id="ab" * 16,
            span_id=f"{n:016x}",
        )
        for n in range(4)
    ),
)
"""An alert that has just fired."""

RENOTIFIED = FIRED.model_copy(
    update={"change": 1, "kind": "renotified", "renotified": 1, "changed_at": 1_767_227_500_000, "cooldown_until": 1_767_229_300_000, "matched": 9, "suppressed": 3}
)  # fmt: skip
"""The same alert, fired again after its cooldown."""

ACKNOWLEDGED = FIRED.model_copy(
    update={"change": 2, "kind": "acknowledged", "state": "acknowledged", "by": "ada@example.com", "changed_at": 1_767_227_600_000, "cause": "acknowledged by ada@example.com"}
)  # fmt: skip
"""The same alert, acknowledged."""

RESOLVED = FIRED.model_copy(
    update={"change": 3, "kind": "resolved", "state": "resolved", "changed_at": 1_767_231_100_000, "matched": 9, "cause": "nothing matched for 30m"}
)  # fmt: skip
"""The same alert, resolved."""
