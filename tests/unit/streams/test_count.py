"""The counter's two folds as the job calls them; the rules themselves are tested where they are."""

import pytest

from schemas.codec import Undecodable
from schemas.documents.rule import RuleSpec
from schemas.ids import record_key
from schemas.rule import Command, Evaluated, RuleEvent
from schemas.rule_state import RuleState
from schemas.topics import Topic
from streams.count import changes, due_changes
from streams.logic.configuration import Configuration
from streams.loop import Received
from tests.support.records import configured, version_of

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
        ({"evaluated": ()}, "without subjects"),
        ({"command": Command(command_id="1", action="resolve", alert_id="a")}, "commands are not understood"),
        ({"rule_version": "feed"}, "'default' never had version feed of rule 'r'"),
    ],
)
def test_an_event_that_means_nothing_is_refused(
    odd: dict[str, object], reason: str, configuration: Configuration
) -> None:
    with pytest.raises(Undecodable, match=reason):
        changes(received(event(**odd)), None, configuration)


@pytest.mark.parametrize("key", [b"k", record_key("globex", "r", ()), record_key("default", "r", ["clerk"])])
def test_an_event_under_a_foreign_key_is_refused_for_it_would_fold_into_anothers_state(
    key: bytes, configuration: Configuration
) -> None:
    with pytest.raises(Undecodable, match=r"the key of a rule event is \[project, rule, group\]"):
        changes(received(event(), key), None, configuration)
