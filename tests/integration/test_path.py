"""From an example to an alert through the four jobs of the narrow path, on a real Kafka, whoever is killed in the middle."""

import time
from collections import Counter
from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Message

from schemas.alert import AlertChange
from schemas.codec import encode
from schemas.config import ConfigEntry
from schemas.example import Example, ScorerRef
from schemas.ids import record_key, score_id
from schemas.request import ScoreRequest
from schemas.rule import RuleEvent
from schemas.rule_state import RuleState
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams.count import changes, due_changes
from streams.logic.configuration import Configuration
from streams.records import Received
from streams.settings import Settings
from tests.support.jobs import Installation

pytestmark = pytest.mark.integration

JOBS = ("sample", "score", "match", "count")
PROJECT = "default"
SCORER = {"type": "contains", "with": {"field": "response", "any": ["parcel"]}, "threshold": 0.5}


@pytest.fixture(scope="module")
def path(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The four jobs, started once for this module."""
    settings = Settings(bootstrap_servers=kafka, topic_prefix="path.", partitions=2, later_wait_s=0)
    made = Installation(settings, tmp_path_factory.mktemp("path"))
    made.start(*JOBS)
    yield made
    made.stop()


def send(path: Installation, scorer: str, name: str, response: str, agent: str = "", **further: object) -> None:
    example = Example.model_validate(
        {
            "project": PROJECT,
            "example_id": name,
            "fields": orjson.dumps({"response": response}),
            "scorers": (ScorerRef(scorer=scorer),),
            "agent": agent,
            **further,
        }
    )
    path.put(Topic.EXAMPLES, record_key(PROJECT, name), example)


def scores(path: Installation, scorer: str) -> dict[str, Score]:
    """The scores of a scorer by id; one that was written twice says the same twice, but for its clock."""
    found: dict[str, Score] = {}
    for score in path.records(Topic.SCORES, Score):
        known = found.setdefault(score.score_id, score)
        assert timeless(score) == timeless(known)
    return {key: score for key, score in found.items() if score.scorer == scorer}


def timeless(score: Score) -> Score:
    return score.model_copy(update={"ts": 0, "latency_ms": 0.0})


def alerts(path: Installation, rule: str) -> list[AlertChange]:
    """The changes of a rule's alerts, each once: one that was written again is the same, byte for byte."""
    found: dict[tuple[str, int], AlertChange] = {}
    for change in path.records(Topic.ALERTS, AlertChange):
        known = found.setdefault((change.alert_id, change.change), change)
        assert encode(change) == encode(known)
    return [change for change in found.values() if change.rule == rule]


def received(message: Message, topic: Topic, record: RuleEvent | None) -> Received:
    partition, offset = message.partition() or 0, message.offset() or 0
    return Received(topic, partition, offset, message.timestamp()[1], message.key(), b"", {}, record)


def folded_again(path: Installation) -> list[AlertChange]:
    """What an audit finds: `vedette.rule-events` folded from its beginning by the same functions, one worker, no crash."""
    configuration = Configuration()
    for message in path.messages(Topic.CONFIG):
        configuration.apply(path.schemas.decode(ConfigEntry, message.value() or b""), message.timestamp()[1])
    states: dict[int, dict[bytes, RuleState]] = {0: {}, 1: {}}
    found: dict[tuple[str, int], AlertChange] = {}
    for message in path.messages(Topic.RULE_EVENTS):
        mine, key = states[message.partition() or 0], message.key()
        if key is None:
            steps = list(due_changes(received(message, Topic.RULE_EVENTS, None), mine, configuration))
        else:
            event = path.schemas.decode(RuleEvent, message.value() or b"")
            steps = [(key, changes(received(message, Topic.RULE_EVENTS, event), mine.get(key), configuration))]
        for moved, step in steps:
            mine.pop(moved, None)
            if step.state is not None:
                mine[moved] = step.state
            found |= {(change.alert_id, change.change): change for change in step.changes}
    return list(found.values())


def test_examples_become_exact_scores_one_alert_and_its_end(path: Installation) -> None:
    version = path.configure("Scorer", "mentions", SCORER)
    rule = {"when": {"all": [{"scorer": "mentions", "is": "fails"}]}, "times": 3, "group_by": ["agent"]}
    rule_version = path.configure("Rule", "three", {**rule, "severity": "critical", "resolve_after": "3s"})
    path.in_effect()
    for number in range(8):
        send(path, "mentions", f"good{number}", "Your parcel is here", agent="clerk")
    for number in range(4):
        send(path, "mentions", f"bad{number}", "No idea", agent="clerk")
    for number in range(2):
        send(path, "mentions", f"few{number}", "No idea", agent="porter")
    send(path, "mentions", "trial", "No idea", agent="clerk", origin="experiment", run_id="r1")
    send(path, "nobody", "lost", "No idea", agent="clerk")
    path.flush()
    path.until(lambda: len(scores(path, "mentions")) == 15 and len(scores(path, "nobody")) == 1)

    appended = {e.value(): e.timestamp()[1] for e in path.messages(Topic.EXAMPLES)}
    ingested = {path.schemas.decode(Example, value or b"").example_id: at for value, at in appended.items()}
    expected = {}
    for name, at in ingested.items():
        if name == "lost":
            continue
        good, run = name.startswith("good"), "r1" if name == "trial" else ""
        expected[score_id(PROJECT, "example", name, "mentions", version, run)] = Score(
            project=PROJECT,
            score_id=score_id(PROJECT, "example", name, "mentions", version, run),
            scorer="mentions",
            scorer_version=version,
            subject_kind="example",
            subject_id=name,
            outcome="pass" if good else "fail",
            ingested_at=at,
            agent="porter" if name.startswith("few") else "clerk",
            value=float(good),
            threshold=0.5,
            measured=float(good),
            reason="response contains 'parcel'" if good else "response contains none of ['parcel']",
            origin="experiment" if run else "online",
            run_id=run,
        )
    assert {key: timeless(score) for key, score in scores(path, "mentions").items()} == expected
    (lost,) = scores(path, "nobody").values()
    assert (lost.outcome, lost.value, lost.reason) == (
        "skipped", None, "project 'default' has no scorer 'nobody': apply its document, then send again",
    )  # fmt: skip

    path.until(lambda: [change.kind for change in alerts(path, "three")] == ["fired", "resolved"])
    fired, resolved = alerts(path, "three")
    assert (fired.project, fired.rule_version, fired.group_key) == (PROJECT, rule_version, '{"agent":"clerk"}')
    assert (fired.state, fired.severity, fired.change, fired.subjects) == ("firing", "critical", 0, 3)
    assert {one.subject_id for one in fired.evidence} <= {"bad0", "bad1", "bad2", "bad3"}
    assert (resolved.alert_id, resolved.change, resolved.state) == (fired.alert_id, 1, "resolved")
    assert (resolved.cause, resolved.matched, resolved.suppressed) == ("no match for 3s", 4, 1)
    matched_at = max(score.ts for score in scores(path, "mentions").values())
    assert 3000 <= resolved.changed_at - matched_at <= 3000 + 5000 + 3000  # ticks come every 5 s


def test_each_job_killed_in_the_middle_changes_neither_scores_nor_alerts(path: Installation) -> None:
    version = path.configure("Scorer", "unkillable", SCORER)
    rule = {
        "when": {"all": [{"scorer": "unkillable", "is": "fails"}]}, "times": 3, "cooldown": "0s", "group_by": ["agent"],
        "resolve_after": "1h",
    }  # fmt: skip
    path.configure("Rule", "every one", rule)
    path.in_effect()
    names = [f"k{number}" for number in range(1200)]
    running = dict(zip(JOBS, path.jobs[-4:], strict=True))
    for at, name in enumerate(names):
        send(path, "unkillable", name, "No idea", agent=f"agent {at % 5}")
        if at % 300 == 150:
            victim = JOBS[at // 300]
            path.flush()
            running[victim].kill()
            (running[victim],) = path.start(victim, ready=False)
        if at % 100 == 0:
            path.flush()
            time.sleep(0.2)
    path.flush()
    expected = {score_id(PROJECT, "example", name, "unkillable", version) for name in names}
    path.until(lambda: set(scores(path, "unkillable")) == expected, patience_s=60)

    def numbers() -> Counter[str]:
        return Counter(change.group[0] for change in alerts(path, "every one"))

    all_fired = {f"agent {n}": 240 - 2 for n in range(5)}  # the third match fires, and each one after it
    path.until(lambda: numbers() == all_fired, patience_s=60)
    assert {score.outcome for score in scores(path, "unkillable").values()} == {"fail"}
    by_group: dict[str, list[AlertChange]] = {}
    for change in alerts(path, "every one"):
        by_group.setdefault(change.group_key, []).append(change)
    for told in by_group.values():
        assert [change.change for change in told] == list(range(238))
        assert len({change.alert_id for change in told}) == 1
    audit = [change for change in folded_again(path) if change.rule == "every one"]
    assert sorted(audit, key=_place) == sorted(alerts(path, "every one"), key=_place)


def test_garbage_on_every_topic_is_put_aside_and_the_path_goes_on(path: Installation) -> None:
    path.configure("Scorer", "after garbage", SCORER)
    rule = {"when": {"all": [{"scorer": "after garbage", "is": "fails"}]}, "times": 2, "resolve_after": "1h"}
    path.configure("Rule", "two", rule)
    path.in_effect()
    topics = (Topic.SPANS, Topic.EXAMPLES, Topic.REQUESTS_CODE, Topic.SCORES, Topic.RULE_EVENTS)
    foreign = RuleEvent(project=PROJECT, rule="never was", rule_version="1")
    for topic in topics:
        for partition in range(2):
            path.put(topic, b"not json", b"garbage", partition=partition)
            path.put(topic, b"not json", b"\xc3\x01cut", partition=partition)
            path.put(topic, b"not json", foreign, partition=partition)
    path.put(Topic.EXAMPLES, b"k", TraceChunk(project=PROJECT, trace_id="0" * 32, ingested_at=1))
    path.put(Topic.REQUESTS_CODE, b"k", ScoreRequest(project=PROJECT, ingested_at=1))
    path.flush()
    for number in range(2):
        send(path, "after garbage", f"g{number}", "No idea")
    path.flush()
    path.until(lambda: [change.kind for change in alerts(path, "two")] == ["fired"])
    refused = {(topic.value.encode(), partition): 3 for topic in topics for partition in (b"0", b"1")}

    def dead() -> Counter[tuple[bytes, bytes]]:
        found = [dict(message.headers() or ()) for message in path.messages(Topic.DLQ)]
        # spans are read by two jobs
        return Counter(
            (h["vedette-error-topic"], h["vedette-error-partition"])
            for h in found
            if (h["vedette-error-job"], h["vedette-error-topic"]) != (b"match", b"vedette.spans")
        )

    path.until(lambda: sum(dead().values()) >= 31)
    assert all(dead()[place] >= count for place, count in refused.items())
    assert [job.process.poll() for job in path.jobs[-4:]] == [None] * 4


def _place(change: AlertChange) -> tuple[str, int]:
    return change.alert_id, change.change
