"""`python -m schemas.avro`: what may change in a record, and what happens to the corpus when it does."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from schemas.avro.__main__ import main
from schemas.avro.compatibility import conflicts
from schemas.record import Record, avro_schema


class Part(Record):
    name: str


class OtherPart(Record):
    name: str


def thing(**fields: Any) -> type[Record]:
    """One release's class of a record named Thing."""
    made: type[Record] = create_model("Thing", __base__=Record, project=(str, ...), **fields)
    return made


class Checkout:
    """A source tree that has nothing but what the command reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.golden = root / "tests/golden/avro/Thing"
        (root / "schemas/avro").mkdir(parents=True)
        self.working_on("1.0.0")

    def working_on(self, release: str, *out: str) -> None:
        (self.root / "pyproject.toml").write_text(f'[project]\nversion = "{release}"\n')
        chapters = "".join(f"\n## [{one}] - 2026-11-25\n" for one in out)
        (self.root / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n{chapters}")

    def check(self, *records: type[Record]) -> int:
        return main(["--check"], self.root, records)

    def write(self, *records: type[Record]) -> int:
        return main([], self.root, records)

    def entries(self) -> dict[str, tuple[str, list[str]]]:
        """The release and the fields of each version."""
        told = {path.stem: json.loads(path.read_text()) for path in sorted(self.golden.glob("*.json"))}
        return {n: (one["release"], [f["name"] for f in one["schema"]["fields"]]) for n, one in told.items()}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_new_record_gets_its_first_version_and_its_file(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkout.check(thing()) == 3
    assert capsys.readouterr().err == (
        "Thing is not as its newest version says (version 0): run `python -m schemas.avro` and commit schemas/avro and tests/golden/avro\n"
    )
    assert checkout.write(thing()) == 0
    assert checkout.check(thing()) == 0
    assert checkout.entries() == {"1": ("1.0.0", ["project"])}
    assert json.loads((checkout.root / "schemas/avro/Thing.avsc").read_text()) == avro_schema(thing())


def test_a_change_without_its_version_fails_and_says_what_to_run(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write(thing())
    assert checkout.check(thing(mood=(str, ""))) == 3
    assert (
        "Thing is not as its newest version says (version 1): run `python -m schemas.avro`" in capsys.readouterr().err
    )


def test_a_file_that_was_edited_by_hand_fails(checkout: Checkout) -> None:
    checkout.write(thing())
    (checkout.root / "schemas/avro/Thing.avsc").write_text("{}")
    assert checkout.check(thing()) == 3


def test_a_version_that_was_never_released_follows_the_code_whatever_changes(checkout: Checkout) -> None:
    checkout.write(thing(mood=(str, ...)))
    assert checkout.write(thing(mood=(int, ...))) == 0
    assert checkout.entries() == {"1": ("1.0.0", ["project", "mood"])}
    assert checkout.check(thing(mood=(int, ...))) == 0


@pytest.mark.parametrize(("working_on", "out"), [("1.0.0", "1.0.0"), ("1.1.0", "1.0.0"), ("1.1.0", "")])
def test_a_released_version_stays_and_the_change_becomes_the_next(
    checkout: Checkout, working_on: str, out: str
) -> None:
    """Released is what the changelog has a chapter for, or what is no longer worked on."""
    checkout.write(thing())
    released = (checkout.golden / "1.json").read_bytes()
    checkout.working_on(working_on, out)
    assert checkout.check(thing()) == 0
    assert checkout.check(thing(mood=(str, ""))) == 3
    assert checkout.write(thing(mood=(str, ""))) == 0
    assert checkout.entries() == {"1": ("1.0.0", ["project"]), "2": (working_on, ["project", "mood"])}
    assert (checkout.golden / "1.json").read_bytes() == released
    assert checkout.check(thing(mood=(str, ""))) == 0


def test_a_change_that_readers_of_a_released_version_cannot_follow_is_not_written(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.write(thing())
    checkout.working_on("1.1.0", "1.0.0")
    needed = thing(mood=(str, ...))
    assert checkout.check(needed) == checkout.write(needed) == 3
    told = "Thing must not change like this: Thing.mood is new and has no default (version 1, release 1.0.0)"
    assert told in capsys.readouterr().err
    assert list(checkout.entries()) == ["1"]


def test_every_earlier_version_counts_not_only_the_last(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    for release, cls in {"1.0.0": thing(mood=(str, "")), "1.1.0": thing(), "1.2.0": thing(mood=(int, 0))}.items():
        checkout.working_on(release)
        code = checkout.write(cls)
    assert code == 3
    assert "Thing.mood was string and is long (version 1, release 1.0.0)" in capsys.readouterr().err


def test_a_record_that_is_gone_is_told(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.write(thing())
    assert checkout.check() == 3
    assert capsys.readouterr().err == "tests/golden/avro/Thing belongs to no record of schemas.avro.TOPICS\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"x": (str, ...)}, {}, "Thing.x is gone and had no default"),
        ({}, {"x": (str, ...)}, "Thing.x is new and has no default"),
        ({"x": (int, 0)}, {"x": (float, 0.0)}, "Thing.x was long and is double"),
        ({"x": (str, "")}, {"x": (bytes, b"")}, "Thing.x was string and is bytes"),
        ({"x": (str, "")}, {"x": (str | None, None)}, "Thing.x was string and is null or string"),
        ({"x": (tuple[str, ...], ())}, {"x": (tuple[int, ...], ())}, "Thing.x was string and is long"),
        ({"x": (dict[str, str], {})}, {"x": (dict[str, int], {})}, "Thing.x was string and is long"),
        ({"x": (dict[str, str], {})}, {"x": (tuple[str, ...], ())}, "Thing.x was map and is array"),
        (
            {"x": (Part, ...)},
            {"x": (OtherPart, ...)},
            "Thing.x was the record vedette.Part and is the record vedette.OtherPart",
        ),
    ],
)
def test_what_may_not_change(old: dict[str, Any], new: dict[str, Any], told: str) -> None:
    assert conflicts(avro_schema(thing(**old)), avro_schema(thing(**new))) == [told]


@pytest.mark.parametrize("inside", [lambda c: (c, ...), lambda c: (c | None, None), lambda c: (tuple[c, ...], ())])  # type: ignore[valid-type]
def test_what_may_not_change_is_found_inside(inside: Any) -> None:
    more: Any = create_model("Part", __base__=Part, size=(int, ...))
    pair = avro_schema(thing(x=inside(Part))), avro_schema(thing(x=inside(more)))
    assert conflicts(*pair) == ["Thing.x.size is new and has no default"]
    assert conflicts(*reversed(pair)) == ["Thing.x.size is gone and had no default"]


def test_a_record_that_is_used_twice_is_compared_at_both_places() -> None:
    more: Any = create_model("Part", __base__=Part, size=(int, ...))
    old, new = (avro_schema(thing(x=(part, ...), y=(part, ...))) for part in (Part, more))
    assert conflicts(old, new) == ["Thing.x.size is new and has no default", "Thing.y.size is new and has no default"]


def test_fields_with_a_default_come_and_go_in_any_order() -> None:
    old, new = thing(a=(str, ""), b=(int, 1)), thing(c=(Part | None, None), b=(int, 2))
    assert conflicts(avro_schema(old), avro_schema(new)) == conflicts(avro_schema(new), avro_schema(old)) == []
