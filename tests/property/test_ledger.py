"""The delivery ledger under crashes, replays, former owners and compaction: at least once, in order, and what is over stays over."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.alert import AlertChange
from schemas.delivery import Delivery
from schemas.documents.rule import RuleSpec
from sinks.testing import FIRED, RULE
from streams.logic import delivery as deliveries
from streams.logic.ledger import Ledger
from streams.logic.quiet import Quiet

NOW = 1_767_225_600_000
SPEC = RuleSpec.model_validate({**RULE.model_dump(by_alias=True), "actions": [{"email": ["a@x.org", "b@x.org"]}]})
PLACE = ("default", "email")
ALERTS = [FIRED.model_copy(update={"alert_id": alert, "change": n}) for n in range(3) for alert in ("one", "two")]
"""Two alerts with three changes each, in the order of `vedette.alerts`."""

Record = tuple[bytes, Delivery]


@dataclass
class World:
    """Kafka's log of one partition, the planner that writes into it and the owner that sends from it."""

    log: list[Record] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)
    """The log as it would be without compaction."""
    ledger: Ledger = field(default_factory=Ledger)
    read_to: int = 0
    planned: int = 0
    now: int = NOW
    told: list[bytes] = field(default_factory=list)
    late: list[Record] = field(default_factory=list)
    """What a former owner has decided and not yet written."""

    def append(self, key: bytes, entry: Delivery) -> None:
        self.log.append((key, entry))
        self.history.append((key, entry))

    def read(self) -> None:
        for key, entry in self.log[self.read_to :]:
            self.ledger.apply(key, entry)
        self.read_to = len(self.log)

    def plan(self) -> None:
        if self.planned < len(ALERTS):
            self._plan(ALERTS[self.planned])
            self.planned += 1

    def replay_plans(self) -> None:
        """The planner crashed before its commit and plans again."""
        for change in ALERTS[: self.planned]:
            self._plan(change)

    def _plan(self, change: AlertChange) -> None:
        self.now += 1
        for entry in deliveries.plan(change, SPEC, lambda _: None, self.now):
            self.append(deliveries.key(entry), entry)

    def attempt(self, ending: str) -> Record | None:
        self.read()
        entry = self.ledger.next(PLACE)
        if entry is None:
            return None
        self.now = max(self.now + 1000, entry.due_at)
        key = deliveries.key(entry)
        self.assert_in_order(entry)
        if ending == "sent":
            self.told.append(key)
            return key, deliveries.sent(entry, f"told {entry.change}", self.now)
        if ending == "failed":
            return key, deliveries.failed(entry, "no such address", self.now)
        if ending == "quiet":
            return key, deliveries.held(entry, Quiet("a silence"), self.now)
        if ending == "gathered":
            return key, deliveries.gathered(entry, self.now)
        return key, deliveries.retry(entry, "busy", None, self.now)

    def assert_in_order(self, entry: Delivery) -> None:
        over = {key for key, record in self.history if not deliveries.waits(record)}
        quiet = {deliveries.key(held) for held in self.ledger.held()}
        assert deliveries.key(entry) not in over | quiet
        for key, record in self.history:
            same = (record.alert_id, record.recipient) == (entry.alert_id, entry.recipient)
            assert not same or record.change >= entry.change or key in over | quiet

    def send(self, ending: str) -> None:
        outcome = self.attempt(ending)
        if outcome is not None:
            self.append(*outcome)

    def crash(self, ending: str) -> None:
        """The owner told somebody and lost its partition before the ledger knew; its word may still come."""
        outcome = self.attempt(ending)
        if outcome is not None:
            self.late.append(outcome)
        self.restart()

    def quiet_ends(self) -> None:
        self._review(None)

    def quiet_goes_on(self) -> None:
        self._review(Quiet("another silence"))

    def alert_moves_on(self) -> None:
        self._review(None, 9)

    def _review(self, quiet: Quiet | None, newest: int = 0) -> None:
        self.read()
        for entry in self.ledger.held():
            self.now += 1
            alert = FIRED.model_copy(update={"change": newest})
            reviewed = deliveries.reviewed(entry, alert, quiet, self.now)
            if reviewed is not None:
                self.append(deliveries.key(entry), reviewed)
        self.read()

    def late_word(self) -> None:
        if self.late:
            self.append(*self.late.pop(0))

    def restart(self) -> None:
        self.ledger, self.read_to = Ledger(), 0
        self.read()

    def settle(self) -> None:
        self.read()
        while self.ledger.unsettled:
            key = min(self.ledger.unsettled)
            self.append(key, self.ledger.entries[key])
            self.read()

    def compact(self) -> None:
        """Kafka keeps the newest record of a key; the compaction lag gives the owner an hour to settle first."""
        self.settle()
        self.log = list(dict(self.log).items())
        self.read_to = len(self.log)


ENDINGS = st.sampled_from(["sent", "failed", "busy", "quiet", "gathered"])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["plan", "plan", "replay_plans", "late_word", "restart", "settle", "compact", "read"])),
    st.tuples(st.sampled_from(["quiet_ends", "quiet_goes_on", "alert_moves_on"])),
    st.tuples(st.sampled_from(["send", "crash"]), ENDINGS),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, min_size=20, max_size=60))
def test_every_change_is_told_at_least_once_in_order_and_what_is_over_stays_over(steps: list[tuple[str, ...]]) -> None:
    world = World()
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    while world.planned < len(ALERTS):
        world.plan()
    world.compact()
    world.restart()
    world.quiet_ends()
    for _ in range(len(ALERTS) * 2):
        world.send("sent")
    world.read()

    first: dict[bytes, Delivery] = {}
    first_terminal: dict[bytes, Delivery] = {}
    for key, record in world.history:
        first.setdefault(key, record)
        if not deliveries.waits(record):
            first_terminal.setdefault(key, record)
    expected = {deliveries.key(e) for change in ALERTS for e in deliveries.plan(change, SPEC, lambda _: None, NOW)}
    assert world.ledger.entries == first_terminal
    assert first_terminal.keys() == expected
    never_quiet = {key for key, entry in first_terminal.items() if not entry.kept_quiet}
    assert all(first_terminal[key].planned_at == first[key].planned_at for key in never_quiet)
    assert {key for key, record in first_terminal.items() if record.state == "sent"} <= set(world.told)
    world.restart()
    assert world.ledger.entries == first_terminal
    assert world.ledger.next(PLACE) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_a_ledger_that_is_forgotten_record_by_record_is_empty(steps: list[tuple[str, ...]]) -> None:
    world = World()
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.read()
    for key in list(world.ledger.entries):
        world.ledger.apply(key, None)
    assert world.ledger == Ledger()
