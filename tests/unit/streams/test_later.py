"""The job that lets go: what it writes when, and what it does when a payload cannot be read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key, score_id
from schemas.later import LaterRequest
from schemas.request import ScoreRequest
from schemas.score import Score
from schemas.topics import Topic
from streams.later import AGAIN_MS, SHOWN, Later, shown, terms_of
from streams.logic.configuration import Configuration
from streams.logic.later import Terms, await_scorer, key, try_again
from streams.logic.retention import HOUR_MS
from streams.logic.waiting import Pace
from streams.records import Out
from streams.settings import Settings
from tests.support.records import as_received, configured, entered, entry, version_of
from tests.support.waits import asked

TERMS = Terms(wait_ms=60_000)
SPEC = ScorerSpec(type="contains")


@dataclass
class Kept:
    """A partition in memory, of which the beginning may be gone, and which may not answer."""

    log: list[LaterRequest] = field(default_factory=list)
    first: int = 0
    answers: bool = True

    def end(self, partition: int) -> int:
        assert partition == 0
        return len(self.log)

    def read(self, partition: int, offsets: Sequence[int]) -> Iterator[LaterRequest | None]:
        assert partition == 0
        for offset in offsets if self.answers else ():
            yield self.log[offset] if offset >= self.first else None


@dataclass
class Run:
    """The job on one partition; what it writes to its own topic comes back when it is read."""

    configuration: Configuration | None
    kept: Kept = field(default_factory=Kept)
    now_ms: int = 100_000
    read: int = 0

    def __post_init__(self) -> None:
        self.later = Later(TERMS, Pace(1000), self.kept, lambda: self.configuration, lambda: self.now_ms)
        self.later.restore(0)

    def come(self, *waits: LaterRequest) -> None:
        self.kept.log += waits
        for offset in range(self.read, len(self.kept.log)):
            received = as_received(Topic.SCORE_LATER, self.kept.log[offset])._replace(offset=offset)
            assert self.later.handle([received]) == []
        self.read = len(self.kept.log)

    def due(self, now_ms: int) -> list[Out]:
        self.now_ms = now_ms
        outs = list(self.later.due([0]))
        self.come(*(out.value for out in outs if isinstance(out.value, LaterRequest)))
        return outs


def unknown(**of: str) -> LaterRequest:
    request = asked(**of)  # type: ignore[arg-type]
    return await_scorer(request, request.pairs[0], TERMS)


def retry() -> LaterRequest:
    request = asked(version="v")
    pair = request.pairs[0].model_copy(update={"base_version": "v", "tries": 1})
    later = try_again(request, pair, "judge", "the provider is down", 10, 100_000, TERMS)
    assert isinstance(later, LaterRequest)
    return later


def marked(later: LaterRequest, state: str) -> Out:
    marker = LaterRequest.model_validate(
        {"project": later.project, "scorer": later.scorer, "later_id": later.later_id, "state": state}
    )
    return Out(Topic.SCORE_LATER, key(later), marker)


@pytest.mark.parametrize(
    ("kind", "topic"),
    [
        ("contains", Topic.REQUESTS_CODE),
        ("prompt", Topic.REQUESTS_JUDGE),
        ("hosted", Topic.REQUESTS_HOSTED),
    ],
)
def test_a_scorer_that_appears_lets_go_to_the_workers_of_its_class_and_the_marker_follows(
    kind: str, topic: Topic
) -> None:
    spec = ScorerSpec(type=kind)
    run = Run(entered([(entry("Scorer", "s", spec), 101_000)]))
    later = unknown()
    run.come(later)
    assert (run.due(102_999), run.later.held(0)) == ([], 0)
    (out,) = run.due(103_000)
    assert isinstance(out.value, ScoreRequest)
    (pair,) = out.value.pairs
    assert (out.topic, out.key) == (topic, record_key("default", "e1"))
    assert (pair.version, pair.base_version, pair.give_up_at) == (version_of(spec), version_of(spec), 160_000)
    assert out.value.subjects == asked().subjects
    assert (run.later.held(0), run.due(103_500)) == (0, [marked(later, "released")])
    assert (run.later.held(0), run.due(104_000)) == (None, [])


def test_a_retry_goes_back_to_its_class_with_its_tries() -> None:
    run = Run(configured())
    run.come(retry())
    (out,) = run.due(110_000)
    assert isinstance(out.value, ScoreRequest)
    assert (out.topic, out.value.pairs[0].tries, out.value.pairs[0].version) == (Topic.REQUESTS_JUDGE, 2, "v")


def test_who_waited_in_vain_is_skipped_with_the_reason_and_marked_late() -> None:
    run = Run(configured())
    later = unknown()
    run.come(later)
    assert run.due(160_000) == []
    (out,) = run.due(160_001)
    assert isinstance(out.value, Score)
    assert (out.topic, out.key) == (Topic.SCORES, record_key("default", "e1"))
    score = out.value
    assert (score.outcome, score.late, score.ts, score.agent) == ("skipped", True, 160_001, "clerk")
    assert score.reason == "there was no scorer 's' in time: apply its document, then send again"
    assert score.score_id == score_id("default", "example", "e1", "s", "")
    assert run.due(161_000) == [marked(later, "given up")]


def test_nobody_leaves_while_the_configuration_may_lack_something() -> None:
    run = Run(None)
    run.come(unknown())
    assert run.due(200_000) == []


def test_a_payload_that_cannot_be_read_now_is_read_again_later() -> None:
    run = Run(configured(), Kept(answers=False))
    run.come(retry())
    assert run.due(110_000) == []
    run.kept.answers = True
    assert [len(run.due(at)) for at in (110_001, 110_000 + AGAIN_MS)] == [0, 1]


def test_a_payload_that_is_gone_is_told_and_holds_up_nobody() -> None:
    run = Run(configured(), Kept(first=1))
    later = retry()
    run.come(later)
    assert run.due(110_000) == []
    assert (run.due(110_500), run.later.held(0)) == ([marked(later, "given up")], None)


def test_a_crash_before_the_marker_lets_go_once_more_and_the_same() -> None:
    run = Run(configured())
    run.come(retry())
    first = run.due(110_000)
    again = Run(configured(), run.kept)
    again.come()
    assert again.due(110_001) == first


def test_nobody_leaves_before_the_partition_is_read_to_where_it_ended() -> None:
    later = retry()
    run = Run(configured(), Kept([later, later]))
    run.later.handle([as_received(Topic.SCORE_LATER, later)._replace(offset=0)])
    assert run.due(110_000) == []


def test_a_wait_is_never_longer_than_its_payload_is_kept() -> None:
    assert terms_of(Settings()).wait_ms == 72 * HOUR_MS
    assert terms_of(Settings(retention="spans=1d")).wait_ms == 23 * HOUR_MS
    assert terms_of(Settings(later_wait_s=0)).wait_ms == 0


def test_the_metrics_name_a_bounded_number_of_scorers() -> None:
    found = shown(Counter({("p", f"s{n}", "scorer"): n for n in range(SHOWN + 3)}))
    assert len(found) == SHOWN + 1
    assert (found["p", f"s{SHOWN}", "scorer"], found["", "", "scorer"]) == (SHOWN, 0 + 1 + 2)
