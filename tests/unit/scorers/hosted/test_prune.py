"""What a runner removes from its disk: what was used longest ago, nothing in use, and whole or not at all."""

import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scorers.hosted import folders
from scorers.hosted.prune import IN_USE_S, Kept, prune, spare

KEPT = st.lists(
    st.builds(Kept, st.uuids().map(lambda name: Path(str(name))), st.integers(0, 50), st.integers(0, 100).map(float)),
    max_size=12,
)


@given(KEPT, st.integers(0, 300), st.integers(0, 101))
def test_the_rest_fits_or_is_in_use_and_no_more_goes_than_must(kept: list[Kept], most: int, since: int) -> None:
    going = spare(kept, most, since)
    staying = [one for one in kept if one not in going]
    left = sum(one.size for one in staying)
    assert left <= most or all(one.used_at >= since for one in staying)
    assert all(one.used_at < since for one in going)
    assert all(gone.used_at <= one.used_at for gone in going for one in staying)
    assert not going or left + going[-1].size > most


def kept(folder: Path, name: str, used_s_ago: float, size: int = 100) -> Path:
    """A published folder as an installation leaves it, read-only to its last file."""
    with folders.scratch(folder) as work:
        inner = folders.make(folders.make(work, "made"), "inner")
        folders.keep_text(inner, "module.py", "x" * size)
        folders.seal(work / "made")
        shelf, _, last = name.partition("/")
        path = folders.publish(work / "made", folders.make(folder, shelf) / last)
    then = time.time() - used_s_ago
    os.utime(path, (then, then))
    return path


def test_above_the_limit_what_was_used_longest_ago_goes_and_a_folder_in_use_stays(tmp_path: Path) -> None:
    each = folders.usage(kept(tmp_path, "packages/oldest", 9 * IN_USE_S))[0]
    asked_for = kept(tmp_path, "packages/asked for now", 8 * IN_USE_S)
    kept(tmp_path, "code/older", 7 * IN_USE_S)
    kept(tmp_path, "packages/old", 6 * IN_USE_S)
    kept(tmp_path, "packages/in a sandbox", IN_USE_S / 2)
    prune(tmp_path, 5 * each)
    assert len(left(tmp_path)) == 5
    assert folders.used(asked_for)
    prune(tmp_path, 3 * each)
    assert left(tmp_path) == {"packages/asked for now", "packages/old", "packages/in a sandbox"}
    prune(tmp_path, 0)
    assert left(tmp_path) == {"packages/asked for now", "packages/in a sandbox"}
    assert list((tmp_path / "work").iterdir()) == []


def left(folder: Path) -> set[str]:
    return {f"{shelf}/{path.name}" for shelf in ("packages", "code") for path in (folder / shelf).iterdir()}


def test_a_folder_that_is_asked_for_between_the_choice_and_the_removal_stays_whole(tmp_path: Path) -> None:
    path = kept(tmp_path, "packages/one", 9 * IN_USE_S)
    in_use_since = time.time() - IN_USE_S
    assert folders.used(path)
    assert not folders.take_away(path, in_use_since)
    assert (path / "inner" / "module.py").read_text() == "x" * 100


def test_a_folder_that_is_gone_is_not_there_for_whoever_asks_and_may_be_published_again(tmp_path: Path) -> None:
    path = kept(tmp_path, "packages/one", 9 * IN_USE_S)
    assert folders.take_away(path, time.time() - IN_USE_S)
    assert not folders.used(path)
    assert not folders.take_away(path, time.time()), "another runner removed it"
    assert folders.used(kept(tmp_path, "packages/one", 0))


def test_what_a_runner_that_was_killed_left_goes_and_what_is_being_built_stays(tmp_path: Path) -> None:
    work = folders.make(tmp_path, "work")
    moved = kept(tmp_path, "packages/half removed", 9 * IN_USE_S)
    moved.chmod(0o755)
    moved.rename(work / "gone-1")
    with folders.scratch(tmp_path) as building:
        prune(tmp_path, 1 << 30)
        assert list(work.iterdir()) == [building]


def test_a_scratch_folder_goes_with_what_was_made_read_only_in_it(tmp_path: Path) -> None:
    with folders.scratch(tmp_path) as work:
        folders.keep_text(folders.make(work, "made"), "module.py", "")
        folders.seal(work / "made")
    assert list((tmp_path / "work").iterdir()) == []
