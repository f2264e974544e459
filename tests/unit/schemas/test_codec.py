"""Avro single-object bytes, and readers that are older or newer than the writer."""

import io
import json
from typing import Any

import fastavro
import pytest
from pydantic import create_model

from schemas.codec import MARKER, Schemas, Undecodable, UnknownSchema, encode, fingerprint_of, schema_text
from schemas.record import Record, avro_schema
from schemas.rule import Evaluated, RuleEvent, Tick
from schemas.span import TraceChunk


class Part(Record):
    name: str = "?"


def version(**fields: Any) -> Any:
    """One release's class of a record named Thing."""
    return create_model("Thing", __base__=Record, **fields)


OLD = version(project=(str, ...))
NEW = version(
    project=(str, ...),
    text=(str, "none"),
    count=(int, 3),
    share=(float, 0.5),
    sure=(bool, True),
    perhaps=(float | None, None),
    names=(tuple[str, ...], ()),
    labels=(dict[str, str], {}),
    part=(Part | None, None),
    parts=(tuple[Part, ...], ()),
    data=(bytes, b"{}\x00\xff"),
)
FULL = NEW(
    project="p",
    text="t",
    count=-1,
    share=1.0,
    sure=False,
    perhaps=0.0,
    names=("a", "b"),
    labels={"k": "v"},
    part=Part(name="one"),
    parts=(Part(), Part(name="two")),
    data=b"\x00",
)


def knowing(*classes: type[Record]) -> Schemas:
    schemas = Schemas()
    for cls in classes:
        schemas.add(schema_text(cls))
    return schemas


def test_a_payload_is_avro_single_object_encoding_that_others_can_read() -> None:
    payload = encode(Tick(job="count"))
    assert payload[:2] == MARKER == b"\xc3\x01"
    assert payload[2:10].hex() == fingerprint_of(schema_text(Tick))
    body = fastavro.schemaless_reader(io.BytesIO(payload[10:]), fastavro.parse_schema(avro_schema(Tick)), None)
    assert body == {"job": "count"}


def test_the_fingerprint_is_that_of_the_avro_specification() -> None:
    """CRC-64-AVRO of the canonical form `"null"` is 63dd24e7cc258f8a; payloads carry it little-endian."""
    assert fingerprint_of('"null"') == "8a8f25cce724dd63"


def test_a_nested_record_comes_back() -> None:
    event = RuleEvent(
        project="p",
        rule="r",
        rule_version="v",
        group=("a", ""),
        evaluated=(Evaluated(subject_kind="span", subject_id="t:s", ingested_at=1, value=0.25, reason="étrange 🦆"),),
    )
    assert Schemas().decode(RuleEvent, encode(event)) == event


def test_a_newer_reader_fills_in_the_defaults_of_what_the_writer_did_not_know() -> None:
    read = knowing(OLD).decode(NEW, encode(OLD(project="p")))
    assert read == NEW(project="p")
    types = {name: type(value) for name, value in read.__dict__.items()}
    assert types == {name: type(value) for name, value in NEW(project="p").__dict__.items()}
    assert encode(read) == encode(NEW(project="p"))


def test_an_older_reader_passes_over_what_it_does_not_know() -> None:
    assert knowing(NEW).decode(OLD, encode(FULL)) == OLD(project="p")


def test_fields_are_told_by_name_not_by_place() -> None:
    moved = version(text=(str, "none"), project=(str, ...))
    assert knowing(moved).decode(NEW, encode(moved(project="p", text="t"))) == NEW(project="p", text="t")


def test_every_kind_of_field_comes_back() -> None:
    assert Schemas().decode(NEW, encode(FULL)) == FULL


def test_an_unknown_schema_is_asked_for_by_its_fingerprint() -> None:
    schemas = Schemas()
    wanted = fingerprint_of(schema_text(OLD))
    with pytest.raises(UnknownSchema, match=wanted) as asked:
        schemas.decode(NEW, encode(OLD(project="p")))
    assert asked.value.fingerprint_hex == wanted
    assert not schemas.settled(asked.value.frame)
    schemas.add(schema_text(OLD))
    assert schemas.settled(asked.value.frame)
    assert schemas.decode(NEW, encode(OLD(project="p"))) == NEW(project="p")


def test_another_record_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="TraceChunk"):
        knowing(Tick).decode(TraceChunk, encode(Tick(job="count")))


@pytest.mark.parametrize("data", [b"", b"\xc3", b"\xc3\x01", b"\xc3\x01\x00\x00\x00", b"{}", b'{"job": "count"}'])
def test_what_is_no_single_object_encoding_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable, match="single-object"):
        Schemas().decode(Tick, data)


@pytest.mark.parametrize("body", [b"", b"\x02", b"\x01", b"\x04a", b"\x02a\x00", b"\x02\xff", b"\xff" * 12])
def test_a_body_that_does_not_fit_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="not a Tick"):
        Schemas().decode(Tick, encode(Tick(job=""))[:10] + body)


def test_a_field_of_a_type_without_a_form_in_avro_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        avro_schema(version(number=(complex, 0j)))


def test_a_words_enumeration_is_plain_text_so_that_it_can_grow() -> None:
    kinds = {field["name"]: field["type"] for field in json.loads(schema_text(Evaluated))["fields"]}
    assert kinds["subject_kind"] == "string"
