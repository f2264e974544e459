"""What cannot be judged now waits on a real Kafka, outlives the job's death, and is judged when it can be."""

import time

import pytest
from confluent_kafka import TopicPartition

from schemas.example import Example, GivenVerdict, ScorerRef
from schemas.ids import record_key
from schemas.later import LaterRequest
from schemas.request import ScoreRequest
from schemas.score import Score
from schemas.topics import Topic
from streams import kafka
from streams.later import AT_ONCE
from streams.logic.later import Terms, await_scorer
from streams.logic.later import key as later_key
from streams.payloads import JUMP, OnTopic
from tests.support.jobs import Installation
from tests.support.waits import asked

pytestmark = pytest.mark.integration

MANY = 600
CONTAINS = {"type": "contains", "with": {"any": ["parcel"], "field": "output"}, "threshold": 0.5}


def example(name: str, *scorers: str) -> Example:
    fields = b'{"output":"Your parcel is here"}'
    refs = tuple(ScorerRef(scorer=scorer) for scorer in scorers)
    return Example(project="default", example_id=name, fields=fields, scorers=refs)


def scores(installation: Installation) -> list[Score]:
    return installation.records(Topic.SCORES, Score)


def waiting(installation: Installation) -> list[LaterRequest]:
    return [one for one in installation.records(Topic.SCORE_LATER, LaterRequest) if one.state == "waiting"]


@pytest.mark.faults
def test_an_example_that_names_a_scorer_to_come_is_judged_when_it_comes_though_the_job_was_killed(
    installation: Installation,
) -> None:
    installation.configure("Scorer", "there", CONTAINS)
    installation.in_effect()
    _, _, later = installation.start("sample", "score", "later")
    for name in ("e1", "e2"):
        installation.put(Topic.EXAMPLES, record_key("default", name), example(name, "there", "to come"))
    installation.flush()
    installation.until(lambda: len(scores(installation)) == 2 and len(waiting(installation)) == 2)
    installation.until(
        lambda: 'vedette_later_waiting{project="default",reason="scorer",scorer="to come"} 2.0' in later.get("/metrics")
    )
    later.kill()
    version = installation.configure("Scorer", "to come", CONTAINS)
    installation.in_effect()
    installation.start("later")
    installation.until(lambda: len(scores(installation)) == 4)
    found = {(s.subject_id, s.scorer): (s.outcome, s.late) for s in scores(installation)}
    assert found == {
        (name, scorer): ("pass", late)
        for name in ("e1", "e2")
        for scorer, late in (("there", False), ("to come", True))
    }
    assert {s.scorer_version for s in scores(installation) if s.scorer == "to come"} == {version}


@pytest.mark.faults
def test_a_scorer_that_cannot_judge_twice_judges_the_third_time_and_a_verdict_that_came_along_waits_for_nobody(
    installation: Installation,
) -> None:
    installation.configure("Scorer", "s", CONTAINS)
    installation.in_effect()
    installation.start("sample", "tests.support.moody", "later")
    brought = (GivenVerdict(scorer="theirs", value=0.2, threshold=0.5, reason="rude"),)
    sent = example("e1", "s").model_copy(update={"verdicts": brought})
    installation.put(Topic.EXAMPLES, record_key("default", "e1"), sent)
    installation.flush()
    installation.until(lambda: len(scores(installation)) == 2)
    found = {score.scorer: (score.outcome, score.tries, score.late) for score in scores(installation)}
    assert found == {"theirs": ("fail", 1, False), "s": ("pass", 3, True)}
    assert [one.tries for one in waiting(installation)] == [1, 2]


@pytest.mark.faults
def test_a_flood_is_let_go_though_the_job_dies_in_the_middle_and_nobody_after_their_marker(
    installation: Installation,
) -> None:
    for number in range(MANY):
        put_wait(installation, f"e{number}")
    installation.configure("Scorer", "s", CONTAINS)
    installation.in_effect()
    (first,) = installation.start("later", later_pace=100)
    installation.until(lambda: len(let_go(installation)) >= 150)
    first.kill()
    (second,) = installation.start("later")
    installation.until(lambda: len(markers(installation)) >= MANY)
    assert set(let_go(installation)) == {f"e{number}" for number in range(MANY)}
    twice = len(let_go(installation)) - MANY
    assert twice <= AT_ONCE, "more than the last turn before its death was let go again"
    assert second.terminate() == 0
    installation.start("later")
    put_wait(installation, "last")
    installation.flush()
    installation.until(lambda: "last" in let_go(installation))
    assert len(let_go(installation)) == MANY + twice + 1


def test_payloads_are_read_by_offset_near_and_far_and_one_that_is_gone_is_told(installation: Installation) -> None:
    for number in range(3 * JUMP):
        put_wait(installation, f"e{number}")
    installation.flush()
    (partition,) = {message.partition() or 0 for message in installation.messages(Topic.SCORE_LATER)}
    payloads = OnTopic(installation.settings)
    assert payloads.end(partition) == 3 * JUMP
    assert read(payloads, partition, 0, 1, 90, 91 + JUMP, 3 * JUMP - 1) == ["e0", "e1", "e90", "e191", "e299"]
    where = TopicPartition(installation.name(Topic.SCORE_LATER), partition, 50)
    admin = kafka.admin(installation.settings)
    admin.delete_records([where])[where].result(10)
    assert read(payloads, partition, 3, 49, 50) == ["gone", "gone", "e50"]


def read(payloads: OnTopic, partition: int, *offsets: int) -> list[str]:
    found = payloads.read(partition, offsets)
    return [later.asked[2].subject_id if later else "gone" for later in found]


def put_wait(installation: Installation, name: str) -> None:
    request = asked(name, time.time_ns() // 1_000_000 - 60_000)
    wait = await_scorer(request, request.pairs[0], Terms())
    installation.put(Topic.SCORE_LATER, later_key(wait), wait)


def let_go(installation: Installation) -> list[str]:
    return [one.subjects[0].subject_id for one in installation.records(Topic.REQUESTS_CODE, ScoreRequest)]


def markers(installation: Installation) -> set[str]:
    found = installation.records(Topic.SCORE_LATER, LaterRequest)
    return {one.later_id for one in found if one.state == "released"}
