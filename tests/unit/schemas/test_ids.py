"""Derived identities and Kafka's partitioner."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    dataset_item_id,
    example_id,
    hashed,
    murmur2,
    partition_of,
    record_key,
    score_id,
    span_subject_id,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NASTY = st.text(st.sampled_from('ab",[]\\ \n\x00é'), max_size=6)
PARTS = st.lists(st.one_of(TEXT, NASTY, st.lists(st.one_of(TEXT, NASTY), max_size=3)), max_size=4)


@pytest.mark.parametrize(
    ("key", "hash_of_java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, hash_of_java: int) -> None:
    """The vectors of org.apache.kafka.common.utils.UtilsTest, whose ints are signed."""
    assert murmur2(key) == hash_of_java % 2**32


@given(st.binary(max_size=40), st.integers(1, 64))
def test_a_partition_is_kafkas_positive_hash_modulo_their_number(key: bytes, partitions: int) -> None:
    positive = murmur2(key) & 0x7FFFFFFF
    assert 0 <= murmur2(key) < 2**32
    assert partition_of(key, partitions) == positive % partitions


def test_keys_spread_over_all_partitions() -> None:
    found = [partition_of(record_key("p", f"{n:032x}"), 12) for n in range(12_000)]
    assert all(800 < found.count(partition) < 1200 for partition in range(12))


def test_a_key_is_a_json_array_that_begins_with_the_project() -> None:
    assert record_key("default", "a rule", ["agent-1", ""]) == b'["default","a rule",["agent-1",""]]'
    assert record_key("p", 'quote " and \\', "é") == '["p","quote \\" and \\\\","é"]'.encode()


@given(TEXT, PARTS, TEXT, PARTS)
def test_keys_of_two_projects_never_meet(project: str, parts: list[object], other: str, others: list[object]) -> None:
    ours, theirs = record_key(project, *parts), record_key(other, *others)
    assert (ours == theirs) == ((project, parts) == (other, others))
    assert json.loads(ours)[0] == project


@given(NASTY, NASTY)
def test_a_name_cannot_be_written_so_that_it_becomes_another_projects_key(project: str, name: str) -> None:
    forged = record_key(f'{project}","{name}', "x")
    assert forged != record_key(project, name, "x")
    assert json.loads(forged) == [f'{project}","{name}', "x"]


@given(st.lists(st.one_of(TEXT, NASTY), max_size=4), st.lists(st.one_of(TEXT, NASTY), max_size=4))
def test_equal_hashes_have_equal_fields(fields: list[str], others: list[str]) -> None:
    assert (hashed(*fields) == hashed(*others)) == (fields == others)
    assert re.fullmatch("[0-9a-f]{32}", hashed(*fields))


def test_a_hash_does_not_change_from_one_release_to_the_next() -> None:
    """Ids are in topics, tables and messages: these were computed from the definition, by hashlib."""
    assert hashed() == "cae66941d9efbd404e4d88758ea67670"
    assert hashed("p", "é") == "f0ec27d5b9d6fae773485f7f06e57683"


def test_a_hash_takes_text_that_is_no_unicode() -> None:
    assert hashed("p", "\ud800") != hashed("p", "?")


def test_span_ids_are_unique_only_within_their_trace() -> None:
    assert span_subject_id("a" * 32, "b" * 16) == "a" * 32 + ":" + "b" * 16


def test_a_score_is_another_one_by_any_part_of_its_identity() -> None:
    parts = ("p", "span", "t:s", "judge", "v1", "")
    others = [(*parts[:at], part + "x", *parts[at + 1 :]) for at, part in enumerate(parts)]
    assert len({score_id(*parts), *(score_id(*other) for other in others)}) == 7
    assert score_id(*parts) == hashed("p", "span", "t:s", "judge@v1", "")


def test_an_example_is_known_by_its_request_and_place() -> None:
    ids = {example_id(project, key, index) for project in "pq" for key in ("k", "l") for index in (0, 1, 10)}
    assert len(ids) == 12
    assert example_id("p", "k", 1) == hashed("p", "k", "1")


def test_a_dataset_item_is_a_subject_in_a_dataset() -> None:
    assert dataset_item_id("p", "d", "t:s") == hashed("p", "d", "t:s")
