"""The counter's two folds as the job calls them; the rules themselves are tested where they are."""

from typing import cast

import pytest

from schemas.alert import AlertChange
from schemas.codec import Schemas, Undecodable, encode
from schemas.documents.rule import RuleSpec
from schemas.ids import partition_of, record_key
from schemas.rule import Command, Evaluated, RuleEvent, Tick
from schemas.rule_state import RuleState
from schemas.topics import Topic
from streams.config_feed import ConfigFeed
from streams.count import Count, changes, due_changes, never_seen
from streams.logic.configuration import Configuration
from streams.records import Received
from streams.settings import Settings
from streams.states import States
from streams.ticks import Ticks
from tests.support.records import configured, entered, entry, version_of

SPEC = RuleSpec.model_validate({"when": {"all": [{"scorer": "s", "is": "fails"}]}, "resolve_after": "3s"})
KEY = record_key("default", "r", ())


def event(**further: object) -> RuleEvent:
    one = Evaluated(subject_kind="example", subject_id="e", ingested_at=9000)
    given = {"project": "default", "rule": "r", "rule_version": version_of(SPEC), "evaluated": (one,)}
    return RuleEvent.model_validate({**given, **further})


def received(record: RuleEvent | None, key: bytes | None = KEY, at: int = 10_000) -> Received:
    return Received(Topic.RULE_EVENTS, 1, 7, at, key, b"", {}, record)


@pytest.fixture
def configuration() -> Configuration:
    return configured(("Rule", "r", SPEC))


def test_a_match_fires_and_silence_resolves(configuration: Configuration) -> None:
    fired = changes(received(event()), None, configuration)
    assert fired.state is not None
    assert [(c.kind, c.events_partition, c.events_offset) for c in fired.changes] == [("fired", 1, 7)]
    states: dict[bytes, RuleState] = {KEY: fired.state}
    assert list(due_changes(received(None, None, 12_999), states, configuration)) == []
    ((key, resolved),) = due_changes(received(None, None, 13_000), states, configuration)
    assert (key, [c.kind for c in resolved.changes]) == (KEY, ["resolved"])


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"evaluated": ()}, "neither subjects nor a command"),
        ({"rule_version": "feed"}, "'default' never had version feed of rule 'r'"),
    ],
)
def test_an_event_that_means_nothing_is_refused(
    odd: dict[str, object], reason: str, configuration: Configuration
) -> None:
    with pytest.raises(Undecodable, match=reason):
        changes(received(event(**odd)), None, configuration)


def test_a_command_is_folded_by_the_rule_in_effect_and_a_deleted_rule_by_the_version_that_it_names() -> None:
    configuration = entered([(entry("Rule", "r", SPEC), 0), (entry("Rule", "r", SPEC, deleted=True), 20_000)])
    fired = changes(received(event()), None, configuration)
    alert_id = fired.changes[0].alert_id
    for at in (11_000, 23_000):
        command = Command(command_id="1", action="acknowledge", alert_id=alert_id, by="ann")
        told = changes(received(event(evaluated=(), command=command), at=at), fired.state, configuration)
        assert [(c.kind, c.by, c.changed_at, c.rule_version) for c in told.changes] == [
            ("acknowledged", "ann", at, version_of(SPEC))
        ]


def test_a_rule_that_never_saw_a_subject_fires_for_want_of_traffic_on_the_partition_of_its_key() -> None:
    spec = RuleSpec.model_validate({"when": {"all": [{"scorer": "s", "is": "fails"}]}, "no_traffic": "15m"})
    grouped = spec.model_copy(update={"group_by": ("agent",)})
    configuration = configured(("Rule", "r", spec), ("Rule", "g", grouped), ("Rule", "n", SPEC))
    here = partition_of(KEY, 4)
    for at, told in ((901_999, []), (902_000, [(KEY, "fired", "nothing was evaluated for 15m, 15m is enough")])):
        ticked = received(None, None, at)._replace(partition=here)
        unseen = never_seen(ticked, 4, configuration)
        assert list(unseen) == [KEY]
        assert [(k, c.kind, c.cause) for k, s in due_changes(ticked, unseen, configuration) for c in s.changes] == told
    assert never_seen(ticked._replace(partition=(here + 1) % 4), 4, configuration) == {}


@pytest.mark.parametrize("key", [b"k", record_key("globex", "r", ()), record_key("default", "r", ["clerk"])])
def test_an_event_under_a_foreign_key_is_refused_for_it_would_fold_into_anothers_state(
    key: bytes, configuration: Configuration
) -> None:
    with pytest.raises(Undecodable, match=r"the key of a rule event is \[project, rule, group\]"):
        changes(received(event(), key), None, configuration)


# --- the worker ---------------------------------------------------------------------------------------------------


class Feed:
    """A configuration that is always known to its end."""

    def __init__(self, configuration: Configuration) -> None:
        self.confirmed = lambda: configuration


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def count(configuration: Configuration, clock: list[float]) -> Count:
    ticks = Ticks("count", Topic.RULE_EVENTS, lambda: clock[0])
    return Count(Settings(), cast("ConfigFeed", Feed(configuration)), ticks)


def test_the_states_of_a_batch_are_kept_and_written_once(count: Count) -> None:
    (alert,) = count.handle([received(event())])
    (state,) = count.changed()
    assert (alert.topic, alert.key, state.topic, state.key, state.partition) == (
        Topic.ALERTS, KEY, Topic.RULE_STATE, KEY, 1,
    )  # fmt: skip
    assert state.value == encode(count.states[1].get(KEY) or RuleState())
    assert list(count.changed()) == []
    assert [out.value for out in count.handle([received(event())])] == [alert.value]  # met again: sent again
    assert list(count.changed()) == []


def test_a_batch_that_cannot_be_handled_leaves_no_trace(count: Count) -> None:
    with pytest.raises(Undecodable):
        count.handle([received(event()), received(event(), b"k")])
    assert (list(count.states[1]), count.changed()) == ([], [])


def test_nothing_of_a_partition_that_has_gone_is_written_any_more(count: Count) -> None:
    count.handle([received(event())])
    count.release(1)
    assert (count.changed(), dict(count.states)) == ([], {})


def test_ticks_met_again_after_a_restart_tell_the_same_again(count: Count) -> None:
    ticks = [received(None, None, at) for at in (13_000, 23_000)]
    again = event(evaluated=(Evaluated(subject_kind="example", subject_id="f", ingested_at=1_809_000),))
    log = [received(event()), ticks[0], received(again, at=20_000), ticks[1]]
    told = [out.value for one in log for out in count.handle([one])]
    assert [change.kind for change in told if isinstance(change, AlertChange)] == [
        "fired",
        "resolved",
        "fired",
        "resolved",
    ]
    (state,) = count.changed()
    count.states[1] = States(lambda value: Schemas().decode(RuleState, value))
    count.states[1].restore([(KEY, cast("bytes", state.value))])
    assert [out.value for one in log for out in count.handle([one])] == told
    assert count.changed() == []


def test_ticks_are_written_every_five_seconds_and_their_absence_ends_the_job(count: Count, clock: list[float]) -> None:
    assert [(out.key, out.partition, out.value) for out in count.due([0, 1])] == [
        (None, 0, Tick(job="count")), (None, 1, Tick(job="count")),
    ]  # fmt: skip
    clock[0] += 4.9
    assert count.due([0, 1]) == []
    for _ in range(5):
        clock[0] += 5
        count.handle([received(None, None)])  # of partition 1
        count.due([0, 1])
    clock[0] += 5
    with pytest.raises(RuntimeError, match=r"own ticks of partitions \[0\] do not come back for 30 s"):
        count.due([0, 1])


def test_after_an_outage_of_kafka_its_own_ticks_have_time_to_come_back(count: Count, clock: list[float]) -> None:
    count.due([0])
    clock[0] += 300  # its tick waited for an ack all the time
    assert len(count.due([0])) == 1
    clock[0] += 5
    assert len(count.due([0])) == 1
