"""The sampler: chunks and examples in, whole score requests out."""

import pytest

from schemas.codec import Undecodable
from schemas.documents.scorer import ScorerSpec
from schemas.example import Example, GivenVerdict, ScorerRef
from schemas.ids import hashed, record_key
from schemas.later import LaterRequest
from schemas.request import Pair, ScoreRequest
from schemas.score import Score
from schemas.span import Span, TraceChunk
from schemas.subject import subject_of_example, subject_of_span
from schemas.topics import Topic
from streams.given import scores_given
from streams.logic.later import Terms
from streams.logic.sampling import keep
from streams.records import Out
from streams.sample import requests
from tests.support.records import (
    chunk_received,
    configured,
    entered,
    entry,
    example_received,
    score_received,
    version_of,
)

TRACE = "ab" * 16


def scorer(kind: str = "contains", *online: dict[str, object], **further: object) -> ScorerSpec:
    return ScorerSpec.model_validate({"type": kind, "online": online, **further})


def example(*scorers: ScorerRef, **further: object) -> Example:
    return Example.model_validate(
        {"project": "default", "example_id": "e1", "fields": b'{"response":"hi"}', "scorers": scorers, **further}
    )


def chunk(*spans: Span, **further: object) -> TraceChunk:
    return TraceChunk.model_validate(
        {"project": "default", "trace_id": TRACE, "ingested_at": 10_000, "spans": spans, **further}
    )


def test_an_example_is_asked_of_the_scorers_that_it_names_in_its_order() -> None:
    first, second = scorer(threshold=0.5), scorer("latency")
    configuration = configured(("Scorer", "first", first), ("Scorer", "second", second), ("Scorer", "unasked", first))
    sent = example(ScorerRef(scorer="second"), ScorerRef(scorer="first"), agent="clerk", customer_id="c", tags=("t",))
    pairs = tuple(
        Pair(
            subject=0, scorer=name, version=version_of(spec), base_version=version_of(spec), why="named by the example"
        )
        for name, spec in (("second", second), ("first", first))
    )
    request = ScoreRequest(project="default", ingested_at=77_000, subjects=(subject_of_example(sent),), pairs=pairs)
    key = record_key("default", "e1")
    assert requests(example_received(sent, 77_000), configuration) == [Out(Topic.REQUESTS_CODE, key, request)]


def test_spans_are_asked_of_the_scorers_that_run_by_themselves() -> None:
    of_llm = scorer("contains", {"target": "span", "filter": {"kind": "llm", "agent": "clerk"}})
    everywhere = scorer("latency", {"target": "span"})
    of_examples = scorer("contains", {"target": "example"})
    configuration = configured(
        ("Scorer", "of llm", of_llm), ("Scorer", "everywhere", everywhere), ("Scorer", "of examples", of_examples)
    )
    spans = (
        Span(span_id="a" * 16, kind="tool", agent="clerk"),
        Span(span_id="b" * 16, kind="llm", agent="clerk", output="hi"),
        Span(span_id="c" * 16, kind="llm", agent="porter"),
    )
    sent = chunk(*spans, origin="experiment", run_id="r1")

    def pair(subject: int, name: str, spec: ScorerSpec) -> Pair:
        version = version_of(spec)
        return Pair(subject=subject, scorer=name, version=version, base_version=version, why="online, 1 of its spans")

    request = ScoreRequest(
        project="default",
        trace_id=TRACE,
        ingested_at=10_000,
        origin="experiment",
        run_id="r1",
        subjects=tuple(subject_of_span(sent, span) for span in spans),
        pairs=(
            pair(0, "everywhere", everywhere),
            pair(1, "of llm", of_llm),
            pair(1, "everywhere", everywhere),
            pair(2, "everywhere", everywhere),
        ),
    )
    expected = [Out(Topic.REQUESTS_CODE, record_key("default", TRACE), request)]
    outs = requests(chunk_received(sent), configuration)
    assert [out for out in outs if out.topic is not Topic.SPAN_CONTENTS] == expected


def test_an_example_of_an_experiment_is_judged_only_by_the_scorers_that_it_names() -> None:
    configuration = configured(("Scorer", "everywhere", scorer("contains", {"target": "example"})))
    sent = Example(project="default", example_id="e1", fields=b'{"output":"hi"}', origin="experiment", run_id="r1")
    assert requests(example_received(sent, 77_000), configuration) == []


def test_each_class_of_scorers_gets_a_request_with_only_the_subjects_that_it_judges() -> None:
    configuration = configured(
        ("Scorer", "judge", scorer("prompt", {"filter": {"span": "answer"}})),
        ("Scorer", "own", scorer("hosted", {"filter": {"span": "look up"}})),
        ("Scorer", "code", scorer("latency", {})),
    )
    sent = chunk(Span(span_id="1" * 16, name="look up"), Span(span_id="2" * 16, name="answer"))
    found = {
        out.topic: (
            [subject.span_name for subject in out.value.subjects],
            [(pair.scorer, pair.subject) for pair in out.value.pairs],
        )
        for out in requests(chunk_received(sent), configuration)
        if isinstance(out.value, ScoreRequest)
    }
    assert found == {
        Topic.REQUESTS_CODE: (["look up", "answer"], [("code", 0), ("code", 1)]),
        Topic.REQUESTS_HOSTED: (["look up"], [("own", 0)]),
        Topic.REQUESTS_JUDGE: (["answer"], [("judge", 0)]),
    }


def test_partial_spans_are_never_scored() -> None:
    configuration = configured(("Scorer", "code", scorer("latency", {})))
    assert requests(chunk_received(chunk(Span(span_id="1" * 16, partial=True))), configuration) == []
    (out,) = requests(
        chunk_received(chunk(Span(span_id="1" * 16, partial=True), Span(span_id="2" * 16))), configuration
    )
    assert isinstance(out.value, ScoreRequest)
    assert [subject.span_id for subject in out.value.subjects] == ["2" * 16]
    assert [pair.subject for pair in out.value.pairs] == [0]


def test_without_a_scorer_that_wants_it_nothing_is_written() -> None:
    configuration = configured(("Scorer", "off", scorer("latency", {}, {"target": "example"}, enabled=False)))
    assert requests(chunk_received(chunk(Span(span_id="1" * 16))), configuration) == []
    assert requests(example_received(example()), configuration) == []


def test_an_unknown_scorer_and_an_unknown_version_are_waited_for_each_under_its_scorer() -> None:
    configuration = configured(("Scorer", "known", scorer()))
    sent = example(
        ScorerRef(scorer="unknown", threshold=0.3), ScorerRef(scorer="known", version="feed"), ScorerRef(scorer="known")
    )
    at_once, *waits = requests(example_received(sent, 77_000), configuration, Terms(wait_ms=1000))
    assert isinstance(at_once.value, ScoreRequest)
    assert [pair.scorer for pair in at_once.value.pairs] == ["known"]
    found = []
    for out in waits:
        assert isinstance(out.value, LaterRequest)
        request, pair, subject = out.value.asked
        assert (request.ingested_at, subject, pair.why) == (77_000, subject_of_example(sent), "named by the example")
        found.append((out.topic, out.key, out.value.give_up_at, pair.version, pair.base_version, pair.threshold))
    assert found == [
        (Topic.SCORE_LATER, record_key("default", "unknown"), 78_000, "", "", 0.3),
        (Topic.SCORE_LATER, record_key("default", "known"), 78_000, "feed", "", None),
    ]


def test_where_nothing_may_wait_an_unknown_scorer_is_asked_all_the_same() -> None:
    (out,) = requests(example_received(example(ScorerRef(scorer="unknown"))), configured(), Terms(wait_ms=0))
    assert isinstance(out.value, ScoreRequest)
    assert (out.topic, out.value.pairs[0].scorer) == (Topic.REQUESTS_CODE, "unknown")


def test_verdicts_that_came_with_an_example_become_scores_beside_what_it_asks_for() -> None:
    sent = example(ScorerRef(scorer="s"), trace_id=TRACE, verdicts=(GivenVerdict(scorer="theirs", value=0.9),))
    asked, given = requests(example_received(sent, 77_000), configured(("Scorer", "s", scorer())))
    assert (asked.topic, asked.key) == (Topic.REQUESTS_CODE, record_key("default", TRACE))
    assert given == Out(Topic.SCORES, record_key("default", TRACE), *scores_given(sent, 77_000))


def test_a_threshold_model_or_options_of_its_own_make_a_version_of_their_own() -> None:
    spec = scorer(threshold=0.5)
    base = version_of(spec)
    refs = (
        ScorerRef(scorer="s"),
        ScorerRef(scorer="s", threshold=0.0),
        ScorerRef(scorer="s", threshold=0.9),
        ScorerRef(scorer="s", model="small"),
        ScorerRef(scorer="s", options='{"a":1}'),
        ScorerRef(scorer="s", threshold=0.9),
    )
    (out,) = requests(example_received(example(*refs)), configured(("Scorer", "s", spec)))
    assert isinstance(out.value, ScoreRequest)
    assert [(p.version, p.base_version, p.threshold, p.model, p.options) for p in out.value.pairs] == [
        (base, base, None, "", ""),
        (hashed(base, "0.0", "", "")[:16], base, 0.0, "", ""),
        (hashed(base, "0.9", "", "")[:16], base, 0.9, "", ""),
        (hashed(base, "", "small", "")[:16], base, None, "small", ""),
        (hashed(base, "", "", '{"a":1}')[:16], base, None, "", '{"a":1}'),
    ]


def test_a_scorer_that_is_named_and_runs_by_itself_judges_once() -> None:
    configuration = configured(("Scorer", "s", scorer("contains", {"target": "example"})))
    (out,) = requests(example_received(example(ScorerRef(scorer="s"))), configuration)
    assert isinstance(out.value, ScoreRequest)
    assert [(pair.scorer, pair.why) for pair in out.value.pairs] == [("s", "named by the example")]


def test_the_rate_of_an_example_decides_over_its_named_scorers_only() -> None:
    configuration = configured(
        ("Scorer", "named", scorer()), ("Scorer", "online", scorer("contains", {"target": "example"}))
    )
    unlucky = next(name for name in map(str, range(100)) if not keep("default", name, 0.1))
    sent = example(ScorerRef(scorer="named"), example_id=unlucky, sampling_rate=0.1)
    (out,) = requests(example_received(sent), configuration)
    assert isinstance(out.value, ScoreRequest)
    assert [pair.scorer for pair in out.value.pairs] == ["online"]


def test_the_first_online_entry_that_takes_a_subject_decides() -> None:
    online = (
        {"filter": {"kind": "llm"}, "sampling_rate": 0.0},
        {"filter": {"agent": "clerk"}, "sampling_rate": 1.0},
        {},
    )
    configuration = configured(("Scorer", "s", scorer("latency", *online)))
    sent = chunk(Span(span_id="1" * 16, kind="llm", agent="clerk"), Span(span_id="2" * 16))
    out, _ = requests(chunk_received(sent), configuration)
    assert isinstance(out.value, ScoreRequest)
    assert [pair.subject for pair in out.value.pairs] == [0, 1]


def test_two_projects_with_the_same_names_have_nothing_to_do_with_each_other() -> None:
    strict, mild = scorer(threshold=0.9), scorer(threshold=0.1)
    configuration = entered([(entry("Scorer", "s", strict, "acme"), 0), (entry("Scorer", "s", mild, "globex"), 0)])
    found = {}
    for project in ("acme", "globex", "initech"):
        (out,) = requests(example_received(example(ScorerRef(scorer="s"), project=project)), configuration)
        asked = out.value.asked[0] if isinstance(out.value, LaterRequest) else out.value
        assert isinstance(asked, ScoreRequest)
        found[project] = (out.key, asked.project, asked.pairs[0].version)
    assert found == {
        "acme": (record_key("acme", "e1"), "acme", version_of(strict)),
        "globex": (record_key("globex", "e1"), "globex", version_of(mild)),
        "initech": (record_key("initech", "s"), "initech", ""),
    }


def test_a_subject_uses_the_version_in_effect_at_its_ingest_time() -> None:
    old, new = scorer(threshold=0.1), scorer(threshold=0.2)
    configuration = entered([(entry("Scorer", "s", old), 0), (entry("Scorer", "s", new), 50_000)])
    sent = example(ScorerRef(scorer="s"))
    versions = {}
    for at in (1999, 2000, 51_999, 52_000):
        (out,) = requests(example_received(sent, at), configuration, Terms(wait_ms=0))
        assert isinstance(out.value, ScoreRequest)
        versions[at] = out.value.pairs[0].version
    assert versions == {1999: "", 2000: version_of(old), 51_999: version_of(old), 52_000: version_of(new)}


def test_what_is_neither_chunk_nor_example_is_refused() -> None:
    score = Score(
        project="p", score_id="s", scorer="s", scorer_version="1", subject_kind="span", subject_id="x",
        outcome="pass", ingested_at=1,
    )  # fmt: skip
    with pytest.raises(Undecodable, match="expected a Example, found Score"):
        requests(score_received(score), configured())
