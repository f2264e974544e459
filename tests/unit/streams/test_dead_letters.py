"""Dead letters and their way back."""

from typing import Any, cast

from confluent_kafka import Message

from schemas.topics import Topic
from streams.dead_letters import Plan, Wanted, again, letter_of
from streams.records import Received, dead_letter
from tests.support.letters import Letter


def letter(**headers: str) -> Letter:
    told = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    return Letter({"vedette-error-topic": b"otlp_spans", "vedette-ingested-at": b"7000", **told})


def message(of: Letter) -> Message:
    return cast("Any", of)


def planned(*letters: Letter) -> Plan:
    plan = Plan()
    for one in letters:
        plan.add(letter_of(message(one)))
    return plan


def moved(of: Letter, partition: int, offset: int, **further: Any) -> Letter:
    return Letter(of.headers_, of.key_, of.value_, partition, offset, **further)


def test_a_record_goes_back_as_it_came_but_for_what_we_wrote_about_its_failure() -> None:
    received = Received(
        Topic.OTLP_SPANS, 1, 42, 7000, b"key", b"bytes", {"vedette-project": b"shop", "traceparent": b"00"}, None
    )
    out = dead_letter("normalise", received, ValueError("broken release"))
    dead = message(Letter(dict(out.headers), out.key, cast("bytes", out.value)))
    back = again(dead, letter_of(dead), Topic.OTLP_SPANS)
    assert (back.topic, back.key, back.value, back.partition) == (Topic.OTLP_SPANS, b"key", b"bytes", None)
    assert dict(back.headers) == {
        "vedette-project": b"shop", "traceparent": b"00", "vedette-ingested-at": b"7000", "vedette-replays": b"1",
    }  # fmt: skip
    told = letter_of(dead)
    assert (told.job, told.topic, told.error, told.message) == (
        "normalise",
        "otlp_spans",
        "ValueError",
        "broken release",
    )


def test_one_that_fails_again_keeps_its_ingest_time_and_is_counted() -> None:
    first = message(letter())
    back = again(first, letter_of(first), Topic.OTLP_SPANS)
    received = Received(Topic.OTLP_SPANS, 0, 99, 500_000, back.key, cast("bytes", back.value), dict(back.headers), None)
    assert received.ingested_at == 7000
    returned = letter_of(message(Letter(dict(dead_letter("normalise", received, ValueError("again")).headers))))
    assert (returned.ingested_at, returned.replays) == (7000, 1)
    assert returned.identity == letter_of(first).identity


def test_a_delivery_goes_back_to_its_partition_which_is_not_that_of_its_key() -> None:
    dead = message(letter(vedette_error_topic="vedette.deliveries", vedette_error_partition="3"))
    assert again(dead, letter_of(dead), Topic.DELIVERIES).partition == 3
    assert again(dead, letter_of(dead), Topic.SCORES).partition is None


def test_the_same_record_goes_back_once_whoever_failed_at_it_and_however_often() -> None:
    by_sample, by_store = letter(vedette_error_job="sample"), letter(vedette_error_job="store")
    returned = letter(vedette_error_job="store", vedette_replays="1")
    plan = planned(moved(by_sample, 0, 5), moved(by_store, 1, 2, time_ms=900), moved(returned, 0, 8, time_ms=2000))
    assert [(one.partition, one.offset, one.replays) for one in plan.letters.values()] == [(0, 8, 1)]
    assert planned(letter(), letter(vedette_ingested_at="7001")).places().keys() == {(0, 0)}
    assert len(planned(letter(), letter(vedette_ingested_at="7001")).letters) == 2


def test_what_this_release_has_no_topic_for_stays_and_is_told() -> None:
    plan = planned(letter(vedette_error_topic="vedette.next-year"), letter())
    assert (len(plan.letters), dict(plan.left)) == (1, {"vedette.next-year": 1})


def test_a_letter_without_our_headers_hides_nothing() -> None:
    bare = letter_of(message(Letter()))
    assert (bare.topic, bare.origin, bare.ingested_at, bare.replays) == ("", None, None, 0)


def test_letters_are_chosen_by_topic_class_project_and_place() -> None:
    one = letter_of(message(letter(vedette_error_class="Undecodable", vedette_project="shop")))
    takes = [
        Wanted(), Wanted("otlp_spans"), Wanted(error="Undecodable"), Wanted(project="shop"), Wanted(place=(0, 0)),
    ]  # fmt: skip
    refuses = [Wanted("otlp_logs"), Wanted(error="ValueError"), Wanted(project="other"), Wanted(place=(0, 1))]
    assert [wanted.takes(one) for wanted in (*takes, *refuses)] == [True] * 5 + [False] * 4
