from hashlib import sha256

from schemas.otlp.cut import cut_text


def test_a_text_within_the_limit_stays_as_it_is() -> None:
    assert cut_text("é" * 50, 100) == ("é" * 50, False)


def test_a_long_text_keeps_its_head_and_tail_and_tells_its_length_and_hash() -> None:
    text = "head" + "x" * 1000 + "tail"
    cut, was_cut = cut_text(text, 300)
    marker = f"\n[… cut: 1008 bytes, sha256 {sha256(text.encode()).hexdigest()} …]\n"
    room = 300 - len(marker.encode())
    head, found, tail = cut.partition(marker)
    assert was_cut
    assert found
    assert (head, tail) == (text[: room - room // 3], text[-(room // 3) :])
    assert len(cut.encode()) == 300


def test_characters_are_not_cut_in_two() -> None:
    cut, was_cut = cut_text("€" * 500, 400)
    assert was_cut
    assert len(cut.encode()) <= 400
    assert set(cut.partition("\n[")[0]) == set(cut.rpartition("]\n")[2]) == {"€"}


def test_a_limit_that_has_no_room_for_the_marker_keeps_the_head() -> None:
    assert cut_text("abcdefgh", 3) == ("abc", True)
