"""The counter looks at the states whose time has come; it decides what a scan of all of them decides."""

from typing import Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alert import AlertChange
from schemas.codec import Schemas, encode
from schemas.documents.rule import RuleSpec
from schemas.ids import record_key
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import RuleState, writes_of
from schemas.topics import Topic
from streams import states as states_module
from streams.config_feed import ConfigFeed
from streams.count import Count, changes, due_changes, never_seen
from streams.logic.configuration import Configuration
from streams.records import Received
from streams.settings import Settings
from streams.states import States
from tests.support.records import entry, version_of

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
FORMS: dict[str, list[dict[str, Any]]] = {
    "often": [{"times": 2, "within": "1m", "cooldown": "2m", "resolve_after": "3m"}, {"times": 1, "cooldown": "5m"}],
    "share": [{"rate": {"share": 0.5, "of": 2}, "within": "2m", "cooldown": "1m", "resolve_after": "1m"}],
    "awaited": [{"no_traffic": "2m", "cooldown": "1m"}, {"no_traffic": "5m"}, {"times": 3}],
    "awaited by all": [{"no_traffic": "3m", "group_by": []}, {"no_traffic": "1m", "group_by": [], "enabled": False}],
}
SPECS = {
    name: [
        RuleSpec.model_validate({"when": {"all": [{"scorer": "s", "is": "fails"}]}, "group_by": ["agent"], **form})
        for form in forms
    ]
    for name, forms in FORMS.items()
}
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, SECOND, 10 * SECOND, MINUTE, 2 * MINUTE, 10 * MINUTE, 80 * HOUR]),
        st.one_of(
            st.tuples(st.just("event"), st.sampled_from(list(FORMS)), st.integers(0, 2), st.booleans()),
            st.tuples(st.just("event"), st.sampled_from(list(FORMS)), st.integers(0, 2), st.booleans()),
            st.tuples(st.just("command"), st.sampled_from(["acknowledge", "resolve", "snooze"])),
            st.tuples(st.just("edit"), st.sampled_from(list(FORMS)), st.integers(0, 2)),
            st.just(("tick",)),
            st.just(("tick",)),
        ),
    ),
    max_size=40,
)


class Log:
    """What stands on one partition, with the configuration of each moment."""

    def __init__(self) -> None:
        self.now, self.offset = HOUR, 0
        self.configuration = Configuration()
        self.told: list[AlertChange] = []
        for name, specs in SPECS.items():
            self.configuration.apply(entry("Rule", name, specs[0]), 0)

    def received(self, what: tuple[Any, ...]) -> Received | None:
        self.offset += 1
        match what:
            case ("tick",):
                return self._received(None, None)
            case ("edit", name, which):
                specs = SPECS[name]
                spec = specs[which % len(specs)]
                self.configuration.apply(entry("Rule", name, spec, deleted=which == 2), self.now)
                return None
            case ("command", action):
                return self._command(action)
            case (_, name, group, matched):
                return self._event(name, group, matched)
        raise AssertionError(what)

    def _event(self, name: str, group: int, matched: bool) -> Received | None:
        found = self.configuration.at("Rule", "default", name, self.now)
        if found is None:
            return None
        spec = RuleSpec.model_validate_json(found.spec)
        values = (f"agent {group}",) if spec.group_by else ()
        one = Evaluated(subject_kind="span", subject_id=f"{self.offset}", ingested_at=self.now, matched=matched)
        event = RuleEvent(project="default", rule=name, rule_version=version_of(spec), group=values, evaluated=(one,))
        return self._received(record_key("default", name, values), event)

    def _command(self, action: str) -> Received | None:
        if not self.told:
            return None
        alert = self.told[-1]
        command = Command.model_validate(
            {"command_id": f"c{self.offset}", "action": action, "alert_id": alert.alert_id}
        )
        version, group = alert.rule_version, alert.group
        event = RuleEvent(project="default", rule=alert.rule, rule_version=version, group=group, command=command)
        return self._received(record_key("default", alert.rule, group), event)

    def _received(self, key: bytes | None, event: RuleEvent | None) -> Received:
        return Received(Topic.RULE_EVENTS, 0, self.offset, self.now, key, b"", {}, event)


class Feed:
    def __init__(self, configuration: Configuration) -> None:
        self.confirmed = lambda: configuration


def scanned(received: Received, states: dict[bytes, RuleState], configuration: Configuration) -> list[AlertChange]:
    """One record folded with a look at every state."""
    if received.is_tick:
        steps = list(due_changes(received, {**never_seen(received, 1, configuration), **states}, configuration))
    else:
        key = received.key or b""
        steps = [(key, changes(received, states.get(key), configuration))]
    for key, step in steps:
        states.pop(key, None)
        if step.state is not None:
            states[key] = step.state
    return [change for _, step in steps for change in step.changes]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(HAPPENINGS, st.integers(1, 6), st.integers(0, 40), st.integers(0, 2))
def test_a_look_at_what_is_due_finds_what_a_scan_finds(
    happenings: list[tuple[int, tuple[Any, ...]]], batch: int, moved_at: int, in_use: int
) -> None:
    """In batches of any size, with few states in use, and when the partition moves to a worker that restores it."""
    log, states = Log(), dict[bytes, RuleState]()
    count = Count(Settings(partitions=1), cast("ConfigFeed", Feed(log.configuration)))
    waiting: list[Received] = []
    expected: list[AlertChange] = []
    kept_in_use, states_module.IN_USE = states_module.IN_USE, in_use

    def handle() -> None:
        found = {encode(out.value) for out in count.handle(waiting) if isinstance(out.value, AlertChange)}
        assert found - sent == set(map(encode, expected)) - sent
        sent.update(found)
        for out in count.changed():
            changelog[out.key or b""] = out.value
        waiting.clear()
        expected.clear()

    changelog: dict[bytes, Any] = {}
    sent: set[bytes] = set()
    """A tick of the same millisecond as the one before may tell again what that one told, or not."""
    for number, (gap, what) in enumerate(happenings):
        if what[0] == "edit":
            handle()
        log.now += gap
        received = log.received(what)
        if received is None:
            continue
        waiting.append(received)
        new = scanned(received, states, log.configuration)
        expected += new
        log.told += new
        if len(waiting) >= batch:
            handle()
        if number == moved_at:
            handle()
            count.states[0] = States(lambda value: Schemas().decode(RuleState, value))
            count.states[0].restore((key, value) for key, value in changelog.items() if value is not None)
    handle()
    states_module.IN_USE = kept_in_use
    live = {key: value for key, value in changelog.items() if value is not None}
    assert live == {key: encode(state) for key, state in states.items()}
    assert {key: writes_of(value) for key, value in live.items()} == {key: s.writes for key, s in states.items()}
