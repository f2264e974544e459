from pathlib import Path

import pytest

from scorers.hosted.cgroup import Group, Groups, found
from scorers.hosted.sandbox import Limits
from scorers.hosted.slots import BLOCK, Slots, block

WHOLE = "         0          0 4294967295\n"
CONTAINER = "         0     100000      65536\n"


def test_uids_come_from_a_range_that_nobody_else_uses() -> None:
    assert block(WHOLE, 3) == range(2_000_000_768, 2_000_001_024)


@pytest.mark.parametrize("chosen", [0, 1, 127, 4095])
def test_in_a_container_with_few_uids_they_exist_there(chosen: int) -> None:
    uids = block(CONTAINER, chosen)
    assert len(uids) == BLOCK
    assert uids[0] > 0
    assert uids[-1] < 65536


def test_two_runners_choose_different_blocks() -> None:
    assert not set(block(CONTAINER, 5)) & set(block(CONTAINER, 6))


def test_a_uid_is_used_again_last() -> None:
    slots = Slots(range(2_147_000_000, 2_147_000_003))
    first = slots.take()
    slots.give_back(first)
    assert [slots.take() for _ in range(3)] == [2_147_000_001, 2_147_000_002, first]


def test_without_a_free_uid_the_number_of_sandboxes_is_told() -> None:
    with pytest.raises(LookupError, match="256 sandboxes run already"):
        Slots(range(0)).take()


def test_version_1_has_a_folder_for_each_controller(tmp_path: Path) -> None:
    for name in ("memory/mine", "pids"):
        (tmp_path / name).mkdir(parents=True)
    assert found(tmp_path, "8:pids:/elsewhere\n4:memory:/mine\n0::/\n") == Groups(
        tmp_path / "memory/mine", tmp_path / "pids"
    )


def test_processor_time_is_shared_out_where_there_is_its_controller(tmp_path: Path) -> None:
    for name in ("memory", "pids", "cpu/mine"):
        (tmp_path / name).mkdir(parents=True)
    place = found(tmp_path, "8:pids:/\n4:memory:/\n3:cpu,cpuacct:/mine\n0::/\n")
    assert place == Groups(tmp_path / "memory", tmp_path / "pids", tmp_path / "cpu/mine")


@pytest.mark.parametrize(("file", "whole", "tenth"), [("cpu.weight", "100", "10"), ("cpu.shares", "1024", "102")])
def test_who_gives_way_has_a_tenth_of_its_share_until_it_takes_it_again(
    file: str, whole: str, tenth: str, tmp_path: Path
) -> None:
    (tmp_path / file).touch()
    group = Group((tmp_path,))
    group.give_way(yields=True)
    assert (tmp_path / file).read_text() == tenth
    group.give_way(yields=False)
    assert (tmp_path / file).read_text() == whole
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    assert found(tmp_path, "4:memory:/\n") == "the control group of pids is absent or not writable"


def test_version_2_shares_out_memory_and_pids(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory pids cpu")
    own = tmp_path / "runner"
    own.mkdir()
    (own / "cgroup.subtree_control").write_text("memory pids")
    assert found(tmp_path, "0::/runner\n") == Groups(own, own)


def test_version_2_without_delegation_names_the_fix(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    assert "Delegate=yes" in str(found(tmp_path, "0::/absent\n"))


def test_limits_are_written_where_the_kernel_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 with a kernel's files faked by the test: this machine may have version 1."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "x" * size)
    made = Path.mkdir

    def with_files(self: Path, *arguments: object, **named: object) -> None:
        made(self, *arguments, **named)  # type: ignore[arg-type]
        for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max"):
            (self / name).touch()

    monkeypatch.setattr(Path, "mkdir", with_files)
    (folder,) = Groups(tmp_path, tmp_path).make(Limits(memory_mib=64, processes=9)).folders
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "pids.max": "9",
    }
