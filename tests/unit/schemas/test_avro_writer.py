"""What we write is what fastavro writes, byte for byte; tests/property/test_codec.py reads every kind of record back by it."""

import io
from collections.abc import Mapping

import pytest
from fastavro import parse_schema, schemaless_writer
from pydantic import Field

from schemas.avro_writer import compiled
from schemas.record import Record, avro_schema


class Inner(Record):
    text: str = ""
    counts: tuple[int, ...] = ()


class Outer(Record):
    first: str = ""
    second: str = ""
    long: int = 0
    maybe: int | None = None
    other: int | None = None
    amount: float = 0.0
    maybe_amount: float | None = None
    flag: bool = False
    blob: bytes = b""
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    texts: dict[str, str] = Field(default={})
    counts: dict[str, int] = Field(default={})
    maps: tuple[dict[str, str], ...] = ()


def by_fastavro(record: Record) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(avro_schema(type(record))), plain(record))
    return out.getvalue()


def plain(value: object) -> object:
    if isinstance(value, Record):
        return {name: plain(held) for name, held in value.__dict__.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


write = compiled(avro_schema(Outer))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "first": "a",
            "second": "ü 🧵 \0",
            "flag": True,
            "blob": b"\0\xff",
            "amount": -0.5,
            "maybe_amount": float("inf"),
        },
        {"inner": Inner(text="x", counts=(1, -1)), "inners": (Inner(), Inner(text="y"))},
        {"texts": {"ключ": "значение", "": ""}, "counts": {"a": -(2**40)}, "maps": ({}, {"k": "v"})},
    ],
)
def test_every_type_is_written_as_fastavro_writes_it(fields: Mapping[str, object]) -> None:
    record = Outer.model_validate(fields)
    assert write(record) == by_fastavro(record)


@pytest.mark.parametrize("bits", [6, 7, 13, 14, 20, 21, 27, 28, 41, 42, 55, 56, 62, 63])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_numbers_are_right_where_they_need_one_more_byte(bits: int, beside: int) -> None:
    number = min(2**bits + beside, 2**63 - 1)
    record = Outer(long=number, maybe=-number, other=~number)
    assert write(record) == by_fastavro(record)


@pytest.mark.parametrize("size", [63, 64, 65, 8191, 8192, 8193, 2**20])
@pytest.mark.parametrize("letter", ["a", "ü", "🧵"])
def test_texts_of_any_length_carry_their_length_in_bytes(size: int, letter: str) -> None:
    record = Outer(first=letter * size, blob=bytes(size), texts={letter: letter * size})
    assert write(record) == by_fastavro(record)


def test_more_different_texts_than_are_remembered_are_written_all_the_same() -> None:
    for number in range(5000):
        record = Outer(first=f"text {number}", second="again")
        assert write(record) == by_fastavro(record)
        assert write(record) == by_fastavro(record)
