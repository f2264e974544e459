import pytest

from schemas.config import ConfigEntry
from schemas.documents.key import KeySpec, key_hash, key_id, new_key
from streams.bridge.admit import Gate, presented, project_of
from streams.bridge.answer import Refused
from streams.bridge.limits import Limits
from streams.logic.configuration import Configuration

KEY = new_key(b"s" * 32, b"kid-id")


def gate(*projects: str) -> Gate:
    configuration = Configuration()
    spec = KeySpec(key_hash=key_hash(KEY), scopes=("ingest",), projects=projects or ("*",))
    configuration.apply(
        ConfigEntry(project="", kind="Key", name=str(key_id(KEY)), version="1", spec=spec.model_dump_json().encode()), 0
    )
    return Gate(configuration, Limits(strangers_per_s=0.2), lambda: 0.0)


@pytest.mark.parametrize(
    ("projects", "asked", "project"),
    [(("a",), "", "a"), (("a", "default"), "", "default"), ((), "", "default"), ((), "caf%C3%A9", "café")],
)
def test_the_key_decides_the_project(projects: tuple[str, ...], asked: str, project: str) -> None:
    assert project_of(gate(*projects).caller("", KEY, "1.1.1.1", "ingest"), asked) == project


@pytest.mark.parametrize(("asked", "status"), [("b", 403), ("", 403), ("a/b", 403)])
def test_a_project_the_key_may_not_use_is_refused(asked: str, status: int) -> None:
    caller = gate("a", "c").caller("", KEY, "1.1.1.1", "ingest")
    with pytest.raises(Refused) as refused:
        project_of(caller, asked)
    assert refused.value.status == status


def test_a_key_is_no_project() -> None:
    with pytest.raises(Refused, match="holds the key") as refused:
        project_of(gate().caller("", KEY, "1.1.1.1", "ingest"), KEY)
    assert refused.value.status == 400


def test_strangers_are_told_to_wait_after_a_few_tries() -> None:
    door, seen = gate(), []
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            door.caller("Bearer nobody", "", "1.1.1.1", "ingest")
        seen.append(refused.value.status)
    assert seen == [401, 401, 429]
    assert door.caller(f"Bearer {KEY}", "", "1.1.1.1", "ingest").key == KEY.encode()


def test_a_key_is_read_from_either_header() -> None:
    assert [presented("Bearer k", ""), presented("k", ""), presented("", "k")] == ["k", "k", "k"]
