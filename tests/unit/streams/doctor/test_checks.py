"""What checks decide, from numbers alone."""

import threading
from collections.abc import Iterator

import pytest

from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import Filter
from schemas.ids import partition_of
from streams.doctor import backlog, disk, examination, groups, judging, on_kafka, partitioners, words
from streams.doctor.groups import Behind
from streams.doctor.judging import Count, fields_of
from streams.doctor.result import Check, Result, finding, ok

GIB = 1024**3


def keys(count: int) -> list[bytes]:
    return [b'["shop","%032x"]' % number for number in range(count)]


@pytest.mark.parametrize("name", list(partitioners.KNOWN))
def test_a_foreign_partitioner_is_named(name: str) -> None:
    of = partitioners.KNOWN[name]
    assert partitioners.used_by((key, of(key, 12), 12) for key in keys(50)) == name


def test_partitioners_are_those_of_their_libraries() -> None:
    """FNV-1a's published vectors; CRC-32's check value."""
    assert partitioners.fnv1a(b"a", 1000) == abs(0xE40C292C - 2**32) % 1000
    assert partitioners.crc32(b"123456789", 1000) == 0xCBF43926 % 1000


def test_only_records_that_murmur2_puts_elsewhere_are_foreign() -> None:
    right = [(key, partition_of(key, 4), 4) for key in keys(20)]
    assert partitioners.elsewhere(right) == []
    wrong = (b"k", (partition_of(b"k", 4) + 1) % 4, 4)
    assert partitioners.elsewhere([*right, wrong]) == [wrong]
    assert partitioners.used_by([*right, wrong]) == "none that we know"


@pytest.mark.parametrize(
    ("before", "there", "after", "state", "value"),
    [
        (1000, 1500, 2000, "ok", "as ours"),
        (1000, 3500, 2000, "ok", "1.5 s ahead of ours"),
        (1000, 4100, 2000, "finding", "2.1 s ahead of ours"),
        (9000, 1000, 9500, "finding", "8.0 s behind ours"),
    ],
)
def test_a_clock_is_wrong_only_by_what_the_question_itself_cannot_explain(
    before: int, there: int, after: int, state: str, value: str
) -> None:
    result = on_kafka.judged("broker 1", before, there, after)
    assert (result.state, result.value) == (state, value)


def slow(pace: Behind) -> list[groups.Slow]:
    at = ("vedette.spans", 0)
    before = {"store": {at: (0, pace.first)}}
    return list(groups._slow(before, {"store": {at: (pace.read, pace.last)}}, pace.seconds))


@pytest.mark.parametrize(
    "pace",
    [
        Behind(0, 500, 900, 2.5),  # a burst came in between
        Behind(900, 0, 900, 2.5),
        Behind(1000, 500, 500, 2.5),  # done in 2.5 s
    ],
)
def test_a_job_that_works_is_not_asked_further(pace: Behind) -> None:
    assert slow(pace) == []


def test_a_job_that_needs_long_falls_back_or_stands_still_is_told_with_its_time() -> None:
    paces = [Behind(10_100, 10_000, 100, 2.0), Behind(100, 300, 50, 2.0), Behind(10, 10, 0, 2.0)]
    assert [one.pace for pace in paces for one in slow(pace)] == paces
    assert [groups.judged("store", "vedette.spans/0", pace, 300.0).value for pace in paces] == [
        "10,000 records behind, the next has waited for 5 min; done in 3 min at this pace",
        "300 records behind, the next has waited for 5 min; grows by 100 records/s",
        "10 records behind, the next has waited for 5 min; stands still",
    ]


def test_a_disk_is_full_by_share_or_by_what_is_left() -> None:
    assert disk.judged("/d", 50 * GIB, 100 * GIB).state == "ok"
    assert disk.judged("/d", 4 * GIB, 100 * GIB).state == "finding"
    assert disk.judged("/d", 1 * GIB, 10 * GIB).state == "finding"


def test_a_scorer_that_is_missing_is_told_otherwise_than_one_that_cannot_judge_now() -> None:
    missing = backlog.judged("shop", "polite", "3 evaluations", missing=True)
    resting = backlog.judged("shop", "polite", "3 evaluations", missing=False)
    assert (missing.what, missing.fix.split(",")[0]) == (
        "scorer 'polite' of project shop does not exist", "apply its document",
    )  # fmt: skip
    assert resting.what == "scorer 'polite' of project shop cannot judge now"


def filtered(found: Count, wanted: Filter, *group_by: str) -> list[Result]:
    return list(judging.judged("rule 'r'", "spans", fields_of(wanted, group_by), found))


def test_a_filter_that_nothing_passes_is_told_with_what_each_field_found() -> None:
    found = Count(100, 0, {"agent": 0, "span_kind": 40}, {"agent": 0, "span_kind": 0})
    (result,) = filtered(found, Filter(agent="Clerk", kind="llm"))
    assert result.what == "rule 'r' takes nothing"
    assert result.value == "none of 100 spans of the last day passes its filter (agent 'Clerk': 0, kind 'llm': 40)"


def test_absent_context_is_told_with_what_supplies_it() -> None:
    found = Count(200, 10, {"environment": 10, "customer_id": 200}, {"environment": 50, "customer_id": 8})
    by_filter, by_group = filtered(found, Filter(environment="production"), "customer")
    assert by_filter.what == "rule 'r' misses environment"
    assert by_filter.value == "50 of 200 (25 %) spans of the last day lack it and would pass its filter otherwise"
    assert "OTEL_RESOURCE_ATTRIBUTES" in by_filter.fix
    assert (by_group.what, by_group.value.endswith("fall into the group ''")) == ("rule 'r' misses customer", True)


def test_a_few_without_context_and_a_day_without_traffic_are_no_finding() -> None:
    assert filtered(Count(1000, 990, {"agent": 990}, {"agent": 9}), Filter(agent="Clerk")) == []
    assert filtered(Count(0, 0, {"agent": 0}, {"agent": 0}), Filter(agent="Clerk")) == []


def test_the_fields_of_a_rule_are_those_of_its_filter_and_its_groups_each_once() -> None:
    fields = fields_of(Filter(agent="Clerk", session="s"), ("agent", "customer", "attribute:tenant"))
    assert [(one.name, one.wanted) for one in fields] == [
        ("agent", "Clerk"), ("session_id", "s"), ("customer_id", None), ("attribute:tenant", None),
    ]  # fmt: skip
    assert all(judging.supply(one) for one in fields)


def test_a_rule_looks_at_scores_of_its_scorers_and_at_spans_for_their_own_numbers() -> None:
    conditions = [{"scorer": "b", "is": "fails"}, {"scorer": "a", "op": "<", "value": 1}, {"tag": "x"}]
    rule = RuleSpec.model_validate({"when": {"any": conditions}})
    assert list(judging.universes(rule)) == [("scores", ("a", "b")), ("spans", ())]


def test_checks_run_side_by_side_and_none_takes_the_others_with_it() -> None:
    both = threading.Barrier(2, timeout=5)
    never = threading.Event()

    def meets(name: str) -> Iterator[Result]:
        both.wait()
        yield ok(name)

    def breaks() -> Iterator[Result]:
        yield ok("first")
        raise OSError("no such host")

    def hangs() -> Iterator[Result]:
        never.wait(30)
        yield ok("too late")

    checks = [
        Check("a", lambda: meets("a")), Check("b", lambda: meets("b")), Check("broken", breaks), Check("hung", hangs),
        Check("away", lambda: [finding("it is away", "", "start it")]),
        Check("after", lambda: [ok("fine")], ("a",)), Check("not after", lambda: [ok("fine")], ("a", "away")),
    ]  # fmt: skip
    results = examination.run(checks, reach_s=0.5, look_s=5)
    assert [(one.check, one.state) for one in results] == [
        ("a", "ok"), ("b", "ok"), ("broken", "unknown"), ("hung", "unknown"), ("away", "finding"),
        ("after", "ok"), ("not after", "unknown"),
    ]  # fmt: skip
    assert {one.check: one.value for one in results}["broken"] == "OSError: no such host"
    never.set()


def test_numbers_are_told_for_people() -> None:
    assert [words.size(n) for n in (0, 1536, 5 * GIB, 3000 * GIB)] == ["0 B", "1.5 KiB", "5.0 GiB", "2.9 TiB"]
    assert [words.span(s) for s in (0.25, 59, 600, 6000, 10_800, 3 * 86400)] == [
        "0.2 s", "59 s", "10 min", "1.7 h", "3.0 h", "3.0 d",
    ]  # fmt: skip
