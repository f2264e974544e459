import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.hosted.channel import Call, Garbage, Judged, Raised, answer, manifest, packed, question, taken


def frame(body: bytes) -> bytearray:
    return bytearray(struct.pack(">I", len(body)) + body)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(-9, 9)), max_size=5), st.integers(1, 40))
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(frames: list[dict[str, int]], piece: int) -> None:
    data = b"".join(map(packed, frames))
    buffer, read = bytearray(), []
    for start in range(0, len(data), piece):
        buffer += data[start : start + piece]
        read += list(taken(buffer, 65_536))
    assert read == frames
    assert not buffer


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b'{"v": NaN}', b'{"v": 1e999}', b"[" * 60_000, b'{"a": "\\ud800"}', b"[]", b"1", b""],
    ids=["no text", "NaN", "infinite", "deep", "half a surrogate", "a list", "a number", "nothing"],
)
def test_what_is_no_strict_json_object_is_garbage(body: bytes) -> None:
    with pytest.raises(Garbage):
        list(taken(frame(body), 65_536))


def test_a_frame_that_claims_to_be_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(Garbage, match="a frame of 50000000 bytes; an answer has at most 65536"):
        list(taken(bytearray(struct.pack(">I", 50_000_000)), 65_536))


@pytest.mark.parametrize("value", [True, "1", [1], {"x": 1}, 10**18, -2e9, None])
def test_a_score_is_a_finite_number_and_nothing_else(value: object) -> None:
    with pytest.raises(Garbage):
        answer({"v": value, "r": "", "l": ""})


def test_a_label_is_enough_without_a_number() -> None:
    assert answer({"v": None, "r": "as said", "l": "polite"}) == Judged(None, "as said", "polite")


def test_an_error_is_the_authors_not_a_score() -> None:
    assert answer({"e": "KeyError: 'x'", "o": "printed"}) == Raised("KeyError: 'x'", "printed")


@pytest.mark.parametrize("name", ["r", "l", "o"])
def test_a_text_that_is_none_is_garbage(name: str) -> None:
    with pytest.raises(Garbage, match="is no text"):
        answer({"v": 1, name: ["x"]})


@pytest.mark.parametrize("said", [None, {"threshold": "0.5"}, {"threshold": True}, {"fields": [1]}, {"scorer": 3}])
def test_a_manifest_is_read_as_strictly(said: object) -> None:
    with pytest.raises(Garbage):
        manifest({"m": said})


def test_a_question_holds_what_a_call_holds() -> None:
    body = json.loads(question("n1", [Call({"x": 1}, {"spans": []}, {"threshold": 0.9})])[4:])
    assert body == {"n": "n1", "calls": [{"e": {"x": 1}, "t": {"spans": []}, "o": {"threshold": 0.9}}]}
