"""The scoring worker: one score per pair, and what a scorer does never harms another."""

import time

import pytest

from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.ids import score_id
from schemas.later import LaterRequest
from schemas.request import Pair, ScoreRequest
from schemas.score import Score
from schemas.subject import Subject
from scorers.scorer import Transient, Verdict
from streams.bench import Bench, Ready, built_in
from streams.logic.configuration import Configuration
from streams.logic.later import Terms, released
from streams.score import scores
from streams.verdict import outcome
from tests.support.records import configured, entered, entry, version_of

SUBJECT = Subject(
    project="default", kind="span", subject_id="t:s", trace_id="t", span_id="s", span_name="answer", span_kind="llm",
    agent="clerk", agent_version="2", session_id="session", customer_id="customer", environment="production",
    tags=("a", "b"), attributes={"region": "north", "secret": "x"}, numbers={"duration_ms": 12.0},
    fields=b'{"output":"Your parcel is here"}',
)  # fmt: skip
CONTAINS = {"type": "contains", "with": {"any": ["parcel"]}}


def spec(**further: object) -> ScorerSpec:
    return ScorerSpec.model_validate({**CONTAINS, **further})


def pair(name: str, of: ScorerSpec | None, **further: object) -> Pair:
    version = version_of(of) if of else ""
    return Pair.model_validate({"subject": 0, "scorer": name, "version": version, "base_version": version, **further})


def request(*pairs: Pair, subject: Subject = SUBJECT, **further: object) -> ScoreRequest:
    given = {"project": "default", "trace_id": "t", "ingested_at": 9000, "subjects": (subject,), "pairs": pairs}
    return ScoreRequest.model_validate({**given, **further})


async def judged(configuration: Configuration, asked: ScoreRequest) -> list[Score]:
    found = [one for one in await scores(asked, Bench(), configuration, lambda: 12_345) if isinstance(one, Score)]
    assert len(found) == len(asked.pairs)
    assert all(0 <= score.latency_ms < 10_000 for score in found)
    return [score.model_copy(update={"latency_ms": 0.0}) for score in found]


async def one(of: ScorerSpec, subject: Subject = SUBJECT) -> Score:
    (score,) = await judged(configured(("Scorer", "s", of)), request(pair("s", of), subject=subject))
    return score


async def test_a_score_is_the_verdict_with_its_subjects_context() -> None:
    of = spec(threshold=0.5)
    rule = RuleSpec.model_validate(
        {"when": {"all": [{"scorer": "s", "is": "fails"}]}, "group_by": ["attribute:region", "attribute:absent"]}
    )
    asked = request(pair("s", of, sampling_rate=0.25), origin="replay", run_id="r1")
    (score,) = await judged(configured(("Scorer", "s", of), ("Rule", "r", rule)), asked)
    assert score == Score(
        project="default",
        score_id=score_id("default", "span", "t:s", "s", version_of(of), "r1"),
        scorer="s",
        scorer_version=version_of(of),
        subject_kind="span",
        subject_id="t:s",
        outcome="pass",
        ingested_at=9000,
        ts=12_345,
        trace_id="t",
        span_id="s",
        span_name="answer",
        span_kind="llm",
        session_id="session",
        customer_id="customer",
        agent="clerk",
        agent_version="2",
        environment="production",
        tags=("a", "b"),
        attributes={"region": "north"},
        value=1.0,
        threshold=0.5,
        measured=1.0,
        reason="output contains 'parcel'",
        sampling_rate=0.25,
        origin="replay",
        run_id="r1",
    )


async def test_every_pair_gets_one_score_whatever_its_neighbours_do() -> None:
    good, bad, odd = spec(threshold=0.5), spec(**{"with": {"any": ["x"]}, "threshold": 0.5}), spec(type="nonsense")
    configuration = configured(("Scorer", "good", good), ("Scorer", "bad", bad), ("Scorer", "odd", odd))
    asked = request(pair("odd", odd), pair("good", good), pair("gone", None), pair("bad", bad))
    found = await judged(configuration, asked)
    assert [(score.scorer, score.outcome) for score in found] == [
        ("odd", "error"), ("good", "pass"), ("gone", "skipped"), ("bad", "fail"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "error", "threshold", "counts_as"),
    [
        (Verdict(value=0.5), "", 0.5, "pass"),
        (Verdict(value=0.49), "", 0.5, "fail"),
        (Verdict(value=0.0), "", None, "scored"),
        (Verdict(value=0.0), "", 0.0, "pass"),
        (Verdict(), "it broke", 0.5, "error"),
        (Verdict(value=1.0), "it broke", None, "error"),
        (Verdict(skipped=True), "", 0.5, "skipped"),
        (Verdict(), "", 0.5, "skipped"),
    ],
)
def test_how_a_verdict_counts(verdict: Verdict, error: str, threshold: float | None, counts_as: str) -> None:
    assert outcome(verdict, error, threshold) == counts_as


async def test_an_unknown_scorer_is_skipped_with_the_fix() -> None:
    configuration = configured(("Scorer", "known", spec()))
    unknown, version = await judged(
        configuration, request(pair("unknown", None, threshold=0.3), pair("known", None, version="feed"))
    )
    assert (unknown.outcome, unknown.value, unknown.threshold, unknown.reason) == (
        "skipped", None, 0.3, "project 'default' has no scorer 'unknown': apply its document, then send again",
    )  # fmt: skip
    assert (version.outcome, version.scorer_version, version.reason) == (
        "skipped", "feed",
        "project 'default' has no version 'feed' of scorer 'known': apply its document, then send again",
    )  # fmt: skip


async def test_a_scorer_of_another_project_is_unknown() -> None:
    of = spec()
    (score,) = await judged(configured(("Scorer", "s", of), project="globex"), request(pair("s", of)))
    assert score.outcome == "skipped"


async def test_two_projects_with_the_same_names_are_judged_by_their_own_scorers_on_one_bench() -> None:
    strict, mild = spec(threshold=2), spec(threshold=0.1)
    configuration = entered([(entry("Scorer", "s", strict, "acme"), 0), (entry("Scorer", "s", mild, "globex"), 0)])
    bench = Bench()
    found = {}
    for project, of in (("acme", strict), ("globex", mild)):
        (score,) = await scores(request(pair("s", of), project=project), bench, configuration, lambda: 0)
        assert isinstance(score, Score)
        found[project] = (score.project, score.outcome, score.score_id)
    assert found == {
        "acme": ("acme", "fail", score_id("acme", "span", "t:s", "s", version_of(strict))),
        "globex": ("globex", "pass", score_id("globex", "span", "t:s", "s", version_of(mild))),
    }


async def test_an_inline_threshold_decides_and_is_told() -> None:
    of = spec(threshold=0.5)
    asked = request(pair("s", of, threshold=1.5, version="its own"))
    (score,) = await judged(configured(("Scorer", "s", of)), asked)
    assert (score.outcome, score.threshold, score.scorer_version) == ("fail", 1.5, "its own")
    assert score.score_id == score_id("default", "span", "t:s", "s", "its own")


async def test_a_scorer_is_made_with_what_its_class_heeds_of_a_requests_own_and_once_for_each() -> None:
    of, made = spec(), list[dict[str, object]]()

    def make(spec: ScorerSpec, project: str, name: str, configuration: Configuration) -> Ready:
        made.append({own: value for own, value in spec.with_.items() if own != "any"})
        return built_in(spec.model_copy(update={"with_": CONTAINS["with"]}), project, name, configuration)

    own = {"threshold": 0.0, "model": "m", "options": '{"a":1}'}
    asked = [pair("s", of, **named) for named in ({}, own, {"threshold": 0.5}, own, {"model": "m", "options": "{}"})]
    bench = Bench(make, ("threshold", "options"))
    ready = [bench.take(configured(("Scorer", "s", of)), "default", one) for one in asked]
    assert made == [{}, {"threshold": 0.0, "options": {"a": 1}}, {"threshold": 0.5}, {}]
    assert ready[1] is ready[3]


async def test_a_disabled_scorer_is_skipped_at_once_whatever_version_is_asked() -> None:
    on, off = spec(), spec(enabled=False)
    configuration = configured(("Scorer", "s", on))
    bench, asked = Bench(), request(pair("s", on))
    (before,) = await scores(asked, bench, configuration, lambda: 0)
    configuration.apply(entry("Scorer", "s", off), 1_000_000_000)
    (after,) = await scores(asked, bench, configuration, lambda: 0)
    assert isinstance(before, Score)
    assert isinstance(after, Score)
    assert (before.outcome, after.outcome) == ("scored", "skipped")
    assert after.reason == "scorer 's' is disabled: apply its document with `enabled: true`"


async def test_a_missing_field_is_skipped_with_the_setting_that_supplies_it() -> None:
    score = await one(spec(threshold=0.5), SUBJECT.model_copy(update={"fields": b"{}"}))
    assert (score.outcome, score.value) == ("skipped", None)
    assert "the instrumentation must capture content (`gen_ai.output.messages` or `vedette.output`)" in score.reason


async def test_a_document_that_cannot_be_built_is_an_error_that_names_the_setting() -> None:
    score = await one(spec(**{"with": {"any": ["x"], "filed": "output"}}))
    assert (score.outcome, score.value) == ("error", None)
    assert score.reason.startswith("contains: with.filed: ")


async def test_a_scorer_that_crashes_or_hangs_is_an_error_and_never_a_fail() -> None:
    crash = await one(spec(threshold=0.5), SUBJECT.model_copy(update={"fields": b"no json"}))
    assert (crash.outcome, crash.value) == ("error", None)
    assert crash.reason.startswith("JSONDecodeError: ")


async def test_a_catastrophic_pattern_is_an_error_in_time_and_holds_nobody_back() -> None:
    of = ScorerSpec.model_validate(
        {"type": "regex", "with": {"pattern": "(a|aa|a?)+$", "seconds": 1}, "timeout": 0.3, "threshold": 0.5}
    )
    begun = time.monotonic()
    score = await one(of, SUBJECT.model_copy(update={"fields": b'{"output":"%s!"}' % (b"a" * 60)}))
    assert (score.outcome, score.value, score.reason) == ("error", None, "no verdict within 0.3 s")
    assert time.monotonic() - begun < 5


class Moody:
    """Cannot judge a few times, then does."""

    def __init__(self, moods: int) -> None:
        self._moods = moods

    async def judge(self, subject: Subject) -> Verdict:
        if self._moods:
            self._moods -= 1
            raise Transient(f"the provider has no time for {subject.subject_id}", 30)
        return Verdict(value=1.0)


async def test_a_scorer_that_cannot_judge_now_is_asked_again_until_it_can() -> None:
    of = spec(threshold=0.5)
    configuration, bench, asked = configured(("Scorer", "s", of)), Bench(), request(pair("s", of))
    ready = bench.take(configuration, "default", asked.pairs[0])
    ready.scorer = Moody(2)
    now_ms = 100_000
    dues = []
    for _ in range(2):
        (later,) = await scores(asked, bench, configuration, lambda now=now_ms: now, "code", Terms(wait_ms=600_000))
        assert isinstance(later, LaterRequest)
        dues.append((later.due_at - now_ms, later.tries, later.give_up_at, later.reason))
        asked, now_ms = released(later, None), later.due_at
    (score,) = await scores(asked, bench, configuration, lambda: now_ms)
    assert dues == [
        (30_000, 1, 700_000, "the provider has no time for t:s"),
        (30_000, 2, 700_000, "the provider has no time for t:s"),
    ]
    assert isinstance(score, Score)
    assert (score.outcome, score.tries, score.late) == ("pass", 3, True)


async def test_a_scorer_that_never_can_is_given_up_with_its_last_reason() -> None:
    of = spec(threshold=0.5)
    configuration, bench = configured(("Scorer", "s", of)), Bench()
    bench.take(configuration, "default", pair("s", of)).scorer = Moody(9)
    asked = request(pair("s", of, tries=4, give_up_at=700_000))
    (score,) = await scores(asked, bench, configuration, lambda: 100_000, "code", Terms(tries=5))
    assert isinstance(score, Score)
    assert (score.outcome, score.tries) == ("skipped", 5)
    assert score.reason == "given up after 5 tries; the last one: the provider has no time for t:s"
