"""Who may do what."""

import pytest

from schemas.documents.key import KeySpec, key_hash, new_key
from streams.api.auth import Caller, authenticate
from streams.api.documents import deletion
from streams.api.errors import Refused
from streams.api.keys import NewKey, entry_of, made, visible
from streams.logic.configuration import Configuration

KEY = new_key(b"s" * 32, b"kid001")
OTHER_SECRET = new_key(b"t" * 32, b"kid001")


def configuration(*specs: tuple[str, KeySpec]) -> Configuration:
    known = Configuration()
    for text, spec in specs:
        known.apply(entry_of(text.split("_")[1], spec, "test"), 0)
    return known


def spec(text: str = KEY, *scopes: str, projects: tuple[str, ...] = ("*",)) -> KeySpec:
    return KeySpec.model_validate({"key_hash": key_hash(text), "scopes": scopes or ("read",), "projects": projects})


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}]
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    assert authenticate(headers, configuration((KEY, spec()))) == Caller(b"kid001".hex(), spec())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "key_missing"),
        ({"authorization": f"Basic {KEY}"}, "key_missing"),
        ({"authorization": "Bearer nonsense"}, "key_unknown"),
        ({"x-api-key": OTHER_SECRET}, "key_unknown"),
        ({"x-api-key": new_key(b"s" * 32, b"kid002")}, "key_unknown"),
    ],
)
def test_anything_else_is_refused_without_telling_which_part_is_wrong(headers: dict[str, str], code: str) -> None:
    with pytest.raises(Refused) as refused:
        authenticate(headers, configuration((KEY, spec())))
    assert (refused.value.status, refused.value.body["error"]) == (401, code)


def test_a_revoked_key_is_unknown() -> None:
    known = configuration((KEY, spec()))
    entry = known.newest("Key", "", b"kid001".hex())
    assert entry is not None
    known.apply(deletion(entry, "test"), 1)
    with pytest.raises(Refused, match="unknown or revoked"):
        authenticate({"x-api-key": KEY}, known)


def test_the_project_is_the_one_asked_for_else_the_only_one_else_default() -> None:
    one, two, every = (
        Caller("k", spec(KEY, "read", projects=projects)) for projects in (("a",), ("a", "default"), ("*",))
    )
    assert [caller.project(None) for caller in (one, two, every)] == ["a", "default", "default"]
    assert [caller.project("a") for caller in (one, two, every)] == ["a", "a", "a"]
    with pytest.raises(Refused, match="key k may use a, not project b") as refused:
        one.project("b")
    assert refused.value.status == 403


def test_admin_has_every_scope_and_others_have_their_own() -> None:
    Caller("k", spec(KEY, "admin")).require("read")
    with pytest.raises(Refused, match="needs a key with scope admin; key k has read, ingest"):
        Caller("k", spec(KEY, "read", "ingest")).require("admin")


def test_nobody_makes_a_key_that_may_more_than_his_own() -> None:
    team = Caller("t", spec(KEY, "admin", projects=("a", "b")))
    text, entry = made(NewKey(scopes=("ingest",), projects=("a",)), team, b"r" * 32, b"newkey")
    assert text == new_key(b"r" * 32, b"newkey")
    assert KeySpec.model_validate_json(entry.spec) == spec(text, "ingest", projects=("a",))
    assert NewKey(scopes=("read",)).allowed(team) == ("a", "b")
    for wanted in (NewKey(scopes=("read",), projects=("c",)), NewKey.model_validate({"scopes": ["read"], "all": True})):
        with pytest.raises(Refused, match="may use a, b, not project"):
            wanted.allowed(team)


def test_only_keys_of_projects_that_the_caller_may_use_are_visible() -> None:
    keys = [new_key(b"s" * 32, f"kid00{n}".encode()) for n in range(3)]
    projects = [("a",), ("a", "b"), ("*",)]
    known = configuration(*((key, spec(key, projects=p)) for key, p in zip(keys, projects, strict=True)))
    seen = [
        [key.name for key in visible(known, Caller("c", spec(KEY, "admin", projects=p)))]
        for p in (("a",), ("a", "b"), ("*",))
    ]
    names = [key.split("_")[1] for key in keys]
    assert seen == [names[:1], names[:2], names]
