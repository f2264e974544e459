"""Every record goes into a real ClickHouse and comes back; repeats, order and cuts of batches change nothing."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import orjson
import pytest

from schemas import codec
from schemas.alert import AlertChange
from schemas.codec import Unread
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example, GivenVerdict, ScorerRef
from schemas.record import Record
from schemas.rule import Evaluated, RuleEvent, Tick
from schemas.score import Score
from schemas.span import Span, TraceChunk
from sinks.clickhouse import rows
from sinks.clickhouse.client import ClickHouse, connect
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.writer import TABLES, Writer
from sinks.sink import Permanent, Transient
from streams.local import clickhouse as local

pytestmark = pytest.mark.integration

NOW_MS = 1_795_000_000_000
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Stored:
    record: Record | Unread[Any] | None
    offset: int = 7
    partition: int = 3
    ingested_at: int = NOW_MS


@pytest.fixture
def server(clickhouse: str, database: str) -> Iterator[ClickHouse]:
    connected = connect(clickhouse, database)
    migrate(connected)
    yield connected
    connected.close()


def filled(cls: type[R], **values: Any) -> R:
    """A record whose every field is set to something of its own."""
    chosen = {name: _value(name, info.annotation, n) for n, (name, info) in enumerate(cls.model_fields.items(), 1)}
    return cls(**{**chosen, **values})


def _value(name: str, annotation: Any, n: int) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return args[-1]
    if origin is tuple:
        return (_value(name, args[0], n), _value(f"{name}'", args[0], n + 1))
    if origin is dict:
        return {f"{name}.ключ": "значение\0 with ' and \\", "second": ""}
    if type(None) in args:
        return _value(name, args[0], n)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return filled(annotation)
    simple: dict[Any, Any] = {
        str: f"{name} — ü 🧵 \t'\\{n}",
        bool: True,
        int: NOW_MS + n,
        float: n + 0.25,
        bytes: b'{"a":[1,"b"]}',
    }
    return simple[annotation]


def table(server: ClickHouse, name: str) -> list[dict[str, Any]]:
    """The rows of a table, one for each identity, times as integers."""
    result = server.driver.query(
        "SELECT * FROM {ours:Identifier}.{name:Identifier} FINAL ORDER BY ALL",
        parameters={"ours": server.database, "name": name},
        query_formats={"DateTime64*": "int"},
    )
    return list(result.named_results())


def back(cls: type[R], row: Mapping[str, Any], **values: Any) -> R:
    """The record that a row was made of."""
    chosen = {name: row[name] for name in cls.model_fields if name in row}
    return cls(**{**{k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}, **values})


def test_a_span_comes_back_with_every_field(server: ClickHouse) -> None:
    span = filled(Span, resource=1, start_time=NOW_MS * 1000 + 123_456)
    chunk = filled(TraceChunk, spans=(span,), resources=({}, {"service.name": "shop", "k": "v"}))
    Writer(server).insert([Stored(chunk)])
    (row,) = table(server, "spans")
    assert back(Span, row, resource=1) == span
    assert back(TraceChunk, row, resources=({}, row["resource"]), spans=(span,), amends=True, tags=chunk.tags) == chunk


def test_tags_of_a_trace_are_a_row_each_whether_or_not_it_has_spans(server: ClickHouse) -> None:
    told = [TraceChunk(project="p", trace_id="t", ingested_at=NOW_MS, tags=tags) for tags in (("a", "b"), ("b",))]
    Writer(server).insert([Stored(chunk, offset) for offset, chunk in enumerate(told)])
    assert sorted((row["project"], row["trace_id"], row["tag"]) for row in table(server, "trace_tags")) == [
        ("p", "t", "a"),
        ("p", "t", "b"),
    ]
    assert table(server, "spans") == []


def test_a_span_without_optional_fields_comes_back_with_empty_texts(server: ClickHouse) -> None:
    span = Span(span_id="b" * 16)
    Writer(server).insert([Stored(filled(TraceChunk, spans=(span,), resources=()))])
    (row,) = table(server, "spans")
    assert back(Span, row, resource=0) == span.model_copy(update={"input": "", "output": ""})
    assert row["resource"] == {}


def test_an_example_comes_back_with_every_field(server: ClickHouse) -> None:
    example = filled(Example)
    Writer(server).insert([Stored(example, ingested_at=NOW_MS + 5)])
    (row,) = table(server, "examples")
    nested = {
        "fields": row["fields"].encode(),
        "scorers": tuple(ScorerRef(**ref) for ref in orjson.loads(row["scorers"])),
        "verdicts": tuple(GivenVerdict(**given) for given in orjson.loads(row["verdicts"])),
    }
    assert back(Example, row, **nested) == example
    assert row["ingested_at"] == NOW_MS + 5


@pytest.mark.parametrize("empty", [{}, {"value": None, "threshold": None, "measured": None, "cost_usd": None}])
def test_a_score_comes_back_with_every_field(server: ClickHouse, empty: dict[str, None]) -> None:
    score = filled(Score, **empty)
    Writer(server).insert([Stored(score)])
    assert [back(Score, row, late=True) for row in table(server, "scores")] == [score]


def test_matched_subjects_come_back_with_their_place_and_the_others_do_not(server: ClickHouse) -> None:
    matched, other = filled(Evaluated, matched=True), filled(Evaluated, matched=False, subject_id="other")
    event = filled(RuleEvent, evaluated=(other, matched), command=None, group_key='{"agent":"a"}')
    Writer(server).insert([Stored(event, offset=41, partition=2)])
    (row,) = table(server, "matches")
    assert back(Evaluated, row, matched=True) == matched
    assert back(RuleEvent, row, group=event.group, evaluated=event.evaluated, command=None) == event
    assert (row["partition"], row["offset"], row["position"]) == (2, 41, 1)


def test_alert_changes_come_back_with_every_field_and_the_alert_is_the_newest_of_them(server: ClickHouse) -> None:
    changes = [filled(AlertChange, change=n, cause=f"because {n}", events_partition=3) for n in range(3)]
    Writer(server).insert([Stored(change, offset=n) for n, change in enumerate(changes)])

    def read(name: str) -> list[AlertChange]:
        return [
            back(AlertChange, row, group=tuple(row["group_values"]), evidence=evidence(row))
            for row in table(server, name)
        ]

    def evidence(row: Mapping[str, Any]) -> tuple[Evaluated, ...]:
        return tuple(Evaluated(**subject) for subject in orjson.loads(row["evidence"]))

    assert sorted(read("alert_changes"), key=lambda change: change.change) == changes
    assert read("alerts") == changes[-1:]


def test_a_delivery_comes_back_with_every_field(server: ClickHouse) -> None:
    delivery = filled(Delivery, alert=None)
    Writer(server).insert([Stored(delivery)])
    assert [back(Delivery, row) for row in table(server, "deliveries")] == [delivery]


def test_a_dataset_item_comes_back_with_every_field(server: ClickHouse) -> None:
    item = filled(DatasetItem)
    Writer(server).insert([Stored(item)])
    (row,) = table(server, "dataset_items")
    assert back(DatasetItem, row, fields=row["fields"].encode()) == item


def history(dice: random.Random, length: int = 80) -> list[Stored]:
    """A log in which few identities meet again and again: repeats, updates, late and early ones, other ingest times."""
    return [Stored(_entry(dice), offset, ingested_at=NOW_MS + offset) for offset in range(length)]


def _entry(dice: random.Random) -> Record | None:
    few = str(dice.randrange(3))
    told = f"told {dice.random()}"
    at = NOW_MS + dice.randrange(10**10)
    kinds: list[Record | None] = [
        filled(
            TraceChunk, project="p", trace_id=few, run_id="", ingested_at=at, spans=tuple(_span(dice) for _ in "ab")
        ),
        filled(Example, project="p", example_id=few, run_id="", agent=told),
        filled(Score, score_id=few, attempt=dice.randrange(2), reason=told, ingested_at=at, ts=at),
        filled(RuleEvent, evaluated=(filled(Evaluated, subject_id=few, reason=told, ingested_at=at),), command=None),
        filled(AlertChange, alert_id=few, change=dice.randrange(3), cause=told, changed_at=at, events_partition=0),
        filled(DatasetItem, item_id=few, added_by=told, added_at=at, removed=dice.random() < 0.5),
        filled(Delivery, alert_id=few, change=0, state=dice.choice(["pending", "sent"]), reason=told, alert=None),
        Tick(job="count"),
        None,
    ]
    return dice.choice(kinds)


def _span(dice: random.Random) -> Span:
    span_id = str(dice.randrange(3))
    start = 1_795_000_000_000_000 + int(span_id) * 10**13  # the same in every copy, in another month for another span
    return filled(
        Span,
        span_id=span_id,
        start_time=start,
        partial=dice.random() < 0.5,
        revision=dice.randrange(3),
        resource=0,
        output=str(dice.random()),
    )


def contents(server: ClickHouse) -> dict[str, list[dict[str, Any]]]:
    return {name: table(server, name) for name in TABLES}


@pytest.mark.parametrize("seed", range(4))
def test_repeats_order_and_cuts_of_batches_change_nothing(server: ClickHouse, seed: int) -> None:
    dice = random.Random(seed)
    log = history(dice)
    writer = Writer(server)
    for message in log:  # the truth: one by one, in order
        writer.insert([message])
    truth = contents(server)
    assert all(truth.values())
    for name in TABLES:
        server.execute(f"TRUNCATE TABLE {server.database}.{name}")
    shuffled = [*log, *dice.sample(log, 30)]
    dice.shuffle(shuffled)
    for batch in _cut(shuffled, dice):
        writer.insert(batch)
        if dice.random() < 0.3:
            writer.insert(batch)
    assert contents(server) == truth
    for name in TABLES:
        server.execute(f"OPTIMIZE TABLE {server.database}.{name} FINAL")
    assert contents(server) == truth
    for name in TABLES:  # a part of a query may be spared the merging of partitions
        counted = server.rows(
            "SELECT count() FROM {ours:Identifier}.{name:Identifier} FINAL "
            "SETTINGS do_not_merge_across_partitions_select_final = 1",
            {"name": name},
        )
        assert counted == [(len(truth[name]),)]


def _cut(log: Sequence[Stored], dice: random.Random) -> Iterator[Sequence[Stored]]:
    start = 0
    while start < len(log):
        end = start + dice.randrange(1, 20)
        yield log[start:end]
        start = end


@pytest.mark.parametrize("final_first", [False, True])
def test_a_finished_span_replaces_its_partial_one_in_either_order(server: ClickHouse, final_first: bool) -> None:
    partial = Span(span_id="b" * 16, start_time=NOW_MS * 1000, partial=True, revision=3, name="running")
    final = Span(span_id="b" * 16, start_time=NOW_MS * 1000, duration_us=5, revision=2, name="done")
    order = [final, partial] if final_first else [partial, final]
    for offset, span in enumerate(order):
        Writer(server).insert([Stored(filled(TraceChunk, trace_id="a", spans=(span,), resources=({},)), offset)])
    assert [row["name"] for row in table(server, "spans")] == ["done"]


def test_spans_of_absurd_clocks_stay_and_share_few_partitions(server: ClickHouse) -> None:
    dice = random.Random(0)
    edges = [-(2**63), -1, 0, 1, 2**63 - 1, 4_102_444_800_000_000, NOW_MS * 1000]
    starts = edges + [dice.randrange(0, 4_200_000_000_000_000) for _ in range(2_000)]
    spans = tuple(Span(span_id=f"{n:016x}", start_time=start) for n, start in enumerate(starts))
    recently = server.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]
    chunk = TraceChunk(project="p", trace_id="a" * 32, ingested_at=recently, spans=spans)
    for _ in range(2):
        Writer(server).insert([Stored(chunk)])
    server.execute(f"OPTIMIZE TABLE {server.database}.spans FINAL")
    kept = server.rows(
        "SELECT count(), uniqExact(span_id), uniqExact(_partition_id) FROM {ours:Identifier}.spans FINAL"
    )
    assert kept == [(len(spans), len(spans), 60)]
    found = server.rows(
        "SELECT count() FROM {ours:Identifier}.spans FINAL "
        "WHERE project = 'p' AND start_time < toDateTime64('1970-01-02 00:00:00', 6, 'UTC')"
    )
    assert found == [(sum(start < 86_400_000_000 for start in starts),)]


def test_spans_leave_by_their_ingest_time_whatever_their_client_says(server: ClickHouse) -> None:
    recently = server.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]
    long_ago = recently - 91 * 86_400_000
    for trace_id, ingested_at, start_time in [("old", long_ago, recently * 1000), ("new", recently, 0)]:
        span = Span(span_id="b" * 16, start_time=start_time)
        chunk = TraceChunk(project="p", trace_id=trace_id, ingested_at=ingested_at, spans=(span,))
        Writer(server).insert([Stored(chunk)])
    server.execute(f"OPTIMIZE TABLE {server.database}.spans FINAL")
    assert [row["trace_id"] for row in table(server, "spans")] == ["new"]


def test_ten_thousand_records_are_one_batch(server: ClickHouse) -> None:
    spans = tuple(Span(span_id=f"{n:016x}", start_time=NOW_MS * 1000 + n, input="x" * 300) for n in range(5))
    batch = [
        Stored(TraceChunk(project="p", trace_id=f"{n:032x}", ingested_at=NOW_MS, spans=spans), n) for n in range(10_000)
    ]
    assert Writer(server).insert(batch) == {"spans": 50_000, "trace_tags": 0}
    assert server.rows("SELECT count(), uniqExact(trace_id, span_id) FROM {ours:Identifier}.spans FINAL") == [
        (50_000, 50_000)
    ]


def test_a_bad_row_is_permanent_and_halving_finds_it(server: ClickHouse) -> None:
    good = [Stored(filled(Score, score_id=str(n)), n) for n in range(7)]
    bad = Stored(Score.trusted({**filled(Score, score_id="bad").__dict__, "reason": "\ud800"}), 9)
    log = [*good[:4], bad, *good[4:]]
    writer = Writer(server)

    def refused(batch: Sequence[Stored]) -> list[Stored]:
        try:
            writer.insert(batch)
        except Permanent:
            middle = len(batch) // 2
            return refused(batch[:middle]) + refused(batch[middle:]) if middle else list(batch)
        return []

    assert refused(log) == [bad]
    assert [row["score_id"] for row in table(server, "scores")] == [str(n) for n in range(7)]


@pytest.mark.parametrize(
    "damaged",
    [
        codec.body(filled(Score))[:-1],
        b"",
        b"\xff" * 9 + b"\x01",  # a text of minus 2^63 bytes
        b"\xfe\xff\xff\xff\x0f",  # a text of 2 GiB
        random.Random(5).randbytes(500),
    ],
    ids=["too short", "empty", "negative", "huge", "random"],
)
def test_what_clickhouse_cannot_read_is_asked_for_again_in_full(server: ClickHouse, damaged: bytes) -> None:
    good = [Stored(Unread(Score, codec.body(filled(Score, score_id=str(n)))), n) for n in range(4)]
    with pytest.raises(Transient):
        Writer(server).insert([*good[:2], Stored(Unread(Score, damaged), 9), *good[2:]])
    assert Writer(server).insert(good) == {"scores": 4}
    assert [row["score_id"] for row in table(server, "scores")] == list("0123")


def test_what_follows_a_record_in_its_block_does_no_harm_to_the_next(server: ClickHouse) -> None:
    longer = [Stored(Unread(Score, codec.body(filled(Score, score_id=str(n))) + b"\x02x" * n), n) for n in range(4)]
    assert Writer(server).insert(longer) == {"scores": 4}
    assert [row["score_id"] for row in table(server, "scores")] == list("0123")


SENT_AND_KEPT = {
    -(2**63): 0,
    -1: 0,
    0: 0,
    1_795_000_000_123_456: 1_795_000_000_123_456,
    4_102_444_799_999_999: 4_102_444_799_999_999,
    4_102_444_800_000_000: 4_102_444_799_999_999,
    2**63 - 1: 4_102_444_799_999_999,
}


def test_a_clients_clock_is_kept_within_1970_and_2099(server: ClickHouse) -> None:
    spans = tuple(Span(span_id=str(n), start_time=sent) for n, sent in enumerate(SENT_AND_KEPT))
    now = server.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]
    Writer(server).insert([Stored(TraceChunk(project="p", trace_id="a", ingested_at=now, spans=spans))])
    kept = {row["span_id"]: row["start_time"] for row in table(server, "spans")}
    assert [kept[span.span_id] for span in spans] == list(SENT_AND_KEPT.values())


def test_a_span_carries_its_resource_and_none_when_its_index_points_nowhere(server: ClickHouse) -> None:
    spans = tuple(Span(span_id=str(n), resource=index) for n, index in enumerate((1, 0, 2, -1, -2)))
    resources = ({"service.name": "a"}, {"service.name": "b"})
    Writer(server).insert(
        [Stored(TraceChunk(project="p", trace_id="a", ingested_at=NOW_MS, resources=resources, spans=spans))]
    )
    assert [row["resource"] for row in table(server, "spans")] == [resources[1], resources[0], {}, {}, {}]


def test_the_version_of_spans_and_scores_is_the_one_of_the_other_tables(server: ClickHouse) -> None:
    """By `rows.first_stays`: a finished span over any partial one, then the revision, then the first in the log."""
    ranks: list[tuple[bool, int, int]] = [
        (True, 0, 9), (True, 0, 0), (True, 20, 7), (True, 2**40, 7), (False, -1, 9), (False, 0, 8), (False, 1, 2**43), (False, 2**62, 0),
    ]  # fmt: skip
    for n, (partial, revision, offset) in enumerate(ranks):
        span = Span(span_id=str(n), partial=partial, revision=revision)
        chunk = TraceChunk(project="p", trace_id="a", ingested_at=NOW_MS, spans=(span,))
        score = filled(Score, score_id=str(n), attempt=revision)
        Writer(server).insert([Stored(chunk, offset), Stored(score, offset)])
    half = rows.HALF_RANK
    assert [row["version"] for row in table(server, "spans")] == [
        rows.first_stays((0 if partial else half) + min(max(revision, 0), half - 1), offset)
        for partial, revision, offset in ranks
    ]
    assert [row["version"] for row in table(server, "scores")] == [
        rows.first_stays(revision, offset) for _, revision, offset in ranks
    ]


def test_a_table_that_is_missing_for_a_while_is_transient(server: ClickHouse) -> None:
    writer = Writer(server)
    server.execute(f"RENAME TABLE {server.database}.scores TO {server.database}.away")
    with pytest.raises(Transient, match="UNKNOWN_TABLE"):
        writer.insert([Stored(filled(Score))])
    server.execute(f"RENAME TABLE {server.database}.away TO {server.database}.scores")
    assert writer.insert([Stored(filled(Score))]) == {"scores": 1}


def test_a_server_that_ends_is_transient_and_the_same_writer_goes_on_when_it_is_back(tmp_path: Path) -> None:
    first = local.start(tmp_path / "server")
    connected = connect(first.login(), "vedette")
    migrate(connected)
    writer = Writer(connected)
    assert writer.insert([Stored(filled(Score, score_id="1"))]) == {"scores": 1}
    local.stop(first)
    with pytest.raises(Transient, match=f"^ClickHouse at 127.0.0.1:{first.port} does not answer: ") as away:
        writer.insert([Stored(filled(Score, score_id="2"))])
    assert local.password(first.directory, local.WRITER) not in str(away.value)
    second = local.start(tmp_path / "server")
    try:
        assert writer.insert([Stored(filled(Score, score_id="2"))]) == {"scores": 1}
        assert [row["score_id"] for row in table(connected, "scores")] == ["1", "2"]
    finally:
        connected.close()
        local.stop(second)
