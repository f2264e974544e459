"""Whatever a record holds comes back; whatever bytes come, a reader gets a record or one of two errors."""

import contextlib
import types
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.avro import RECORDS
from schemas.codec import Schemas, Undecodable, UnknownSchema, encode
from schemas.record import Record

SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bytes: st.binary(max_size=8),
}


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """What a field annotated like this may hold."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in SCALARS:
        return SCALARS[annotation]
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=2)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, args))
    if annotation is type(None):
        return st.none()
    return records(annotation)


def records(cls: type[Record]) -> st.SearchStrategy[Record]:
    fields = {name: values(info.annotation) for name, info in cls.model_fields.items()}
    required = {name: fields[name] for name, info in cls.model_fields.items() if info.is_required()}
    return st.one_of(
        st.fixed_dictionaries(fields).map(cls.model_validate),
        st.fixed_dictionaries(required).map(cls.model_validate),
    )


ANY_RECORD = st.sampled_from(RECORDS).flatmap(records)
MANY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(ANY_RECORD)
def test_a_record_comes_back_equal_and_of_the_same_types(record: Record) -> None:
    back = Schemas().decode(type(record), encode(record))
    assert back == record
    assert type(back).model_validate(back.model_dump(), strict=True) == record
    assert repr(back) == repr(record)
    assert encode(back) == encode(record)


@MANY
@given(ANY_RECORD, st.data())
def test_damaged_bytes_are_undecodable_or_another_record_of_the_class(record: Record, data: st.DataObject) -> None:
    whole = encode(record)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=12))
        if not damaged:
            break
    _decodes_or_tells(type(record), bytes(damaged))


@MANY
@given(ANY_RECORD, st.data())
def test_a_record_cut_short_or_followed_by_more_is_undecodable(record: Record, data: st.DataObject) -> None:
    whole = encode(record)
    for wrong in (whole[: data.draw(st.integers(0, len(whole) - 1))], whole + data.draw(st.binary(min_size=1))):
        with pytest.raises(Undecodable):
            Schemas().decode(type(record), wrong)


@MANY
@given(st.sampled_from(RECORDS), st.binary(max_size=200))
def test_no_bytes_lead_a_reader_astray(cls: type[Record], body: bytes) -> None:
    _decodes_or_tells(cls, body)
    _decodes_or_tells(cls, b"\xc3\x01" + body)
    _decodes_or_tells(cls, encode(cls.model_construct(**_empty(cls)))[:10] + body)


def _decodes_or_tells(cls: type[Record], data: bytes) -> None:
    with contextlib.suppress(Undecodable, UnknownSchema):
        assert isinstance(Schemas().decode(cls, data), cls)


def _empty(cls: type[Record]) -> dict[str, Any]:
    """The least that a record of the class can hold."""
    zero: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False, bytes: b""}
    needed = {name: info.annotation for name, info in cls.model_fields.items() if info.is_required()}
    return {name: zero.get(kind, _least(kind)) for name, kind in needed.items()}


def _least(kind: Any) -> Any:
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    return kind.model_construct(**_empty(kind)) if hasattr(kind, "model_fields") else ()
