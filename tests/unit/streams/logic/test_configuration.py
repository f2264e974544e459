"""Which version of a document is in effect at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import ConfigEntry
from streams.logic.configuration import Configuration


def entry(
    version: str, name: str = "r", *, kind: str = "Rule", project: str = "p", deleted: bool = False
) -> ConfigEntry:
    return ConfigEntry(
        project=project,
        kind=kind,
        name=name,
        version=version,
        spec=version.encode(),
        description="why",
        deleted=deleted,
    )


def deletion(name: str = "r") -> ConfigEntry:
    return entry("", name, deleted=True)


def log(*entries: tuple[ConfigEntry, int]) -> Configuration:
    configuration = Configuration()
    for applied, appended_at in entries:
        configuration.apply(applied, appended_at)
    return configuration


def in_effect(configuration: Configuration, at: int, kind: str = "Rule", project: str = "p") -> dict[str, str]:
    return {name: found.version for name, found in configuration.in_effect(kind, project, at).items()}


def test_a_version_takes_effect_two_seconds_after_it_was_appended() -> None:
    configuration = log((entry("A"), 1000), (entry("B"), 5000))
    assert [in_effect(configuration, at) for at in (2999, 3000, 6999, 7000)] == [
        {},
        {"r": "A"},
        {"r": "A"},
        {"r": "B"},
    ]


def test_a_version_carries_what_was_applied() -> None:
    found = log((entry("A"), 1000)).in_effect("Rule", "p", 3000)["r"]
    assert (found.project, found.kind, found.name, found.version) == ("p", "Rule", "r", "A")
    assert (found.spec, found.deleted, found.effective_at, found.description) == (b"A", False, 3000, "why")


def test_a_deletion_is_a_version_too() -> None:
    configuration = log((entry("A"), 0), (deletion(), 10_000), (entry("A"), 20_000))
    assert [in_effect(configuration, at) for at in (11_999, 12_000, 21_999, 22_000)] == [{"r": "A"}, {}, {}, {"r": "A"}]


def test_the_newest_is_in_use_before_it_is_in_effect() -> None:
    configuration = log((entry("A"), 0), (entry("B"), 10_000))
    newest = configuration.newest("Rule", "p", "r")
    assert newest is not None
    assert newest.version == "B"
    assert configuration.all_newest("Rule", "p") == {"r": newest}


def test_the_newest_of_what_is_deleted_or_never_was_is_nothing() -> None:
    configuration = log((entry("A"), 0), (deletion(), 10_000))
    assert configuration.newest("Rule", "p", "r") is None
    assert configuration.newest("Rule", "p", "never") is None
    assert configuration.newest("Rule", "nowhere", "r") is None
    assert configuration.all_newest("Rule", "p") == {}


def test_what_was_applied_again_is_in_effect_again_from_its_own_time() -> None:
    configuration = log((entry("A"), 0), (entry("B"), 10_000), (entry("A"), 20_000))
    assert [in_effect(configuration, at)["r"] for at in (2000, 12_000, 22_000)] == ["A", "B", "A"]
    assert [version.effective_at for version in configuration.history("Rule", "p", "r")] == [2000, 12_000, 22_000]


def test_one_document_is_looked_up_by_time_as_all_of_its_kind_are() -> None:
    configuration = log((entry("A"), 0), (entry("B"), 10_000), (deletion(), 20_000))
    found = [configuration.at("Rule", "p", "r", at) for at in (1999, 2000, 12_000, 22_000)]
    assert [version and version.version for version in found] == [None, "A", "B", None]
    assert configuration.at("Rule", "p", "never", 12_000) is None


def test_a_version_is_found_by_its_hash_whenever_it_was_in_effect() -> None:
    configuration = log((entry("A"), 0), (entry("B"), 10_000), (entry("A"), 20_000), (deletion(), 30_000))
    versions = [configuration.version("Rule", "p", "r", version) for version in ("A", "B", "C", "")]
    assert [found and found.effective_at for found in versions] == [22_000, 12_000, None, None]


def test_projects_and_kinds_never_meet() -> None:
    configuration = log(
        (entry("A"), 0), (entry("B", project="q"), 0), (entry("C", kind="Scorer"), 0), (entry("D", project=""), 0)
    )
    assert in_effect(configuration, 9000) == {"r": "A"}
    assert in_effect(configuration, 9000, project="q") == {"r": "B"}
    assert in_effect(configuration, 9000, kind="Scorer") == {"r": "C"}
    assert in_effect(configuration, 9000, project="") == {"r": "D"}
    assert configuration.projects() == {"p", "q"}


@pytest.mark.parametrize("stepped_back_to", [0, 4000, 9999])
def test_a_brokers_clock_that_steps_back_does_not_reorder_versions(stepped_back_to: int) -> None:
    configuration = log((entry("A"), 10_000), (entry("B"), stepped_back_to), (entry("C"), 20_000))
    assert [in_effect(configuration, at) for at in (11_999, 12_000, 22_000)] == [{}, {"r": "B"}, {"r": "C"}]


def test_a_new_document_does_not_take_effect_before_what_was_appended_earlier() -> None:
    configuration = log((entry("A"), 10_000), (entry("B", "other"), 1000))
    assert in_effect(configuration, 11_999) == {}
    assert in_effect(configuration, 12_000) == {"r": "A", "other": "B"}


APPLIED = st.lists(
    st.tuples(
        st.builds(
            entry,
            st.sampled_from(["A", "B"]),
            st.sampled_from(["r", "s"]),
            project=st.sampled_from(["p", "q"]),
            deleted=st.booleans(),
        ),
        st.integers(0, 20_000),
    ),
    max_size=8,
)
PROBES = st.integers(0, 25_000)


@given(APPLIED, PROBES, PROBES)
def test_between_two_times_of_one_epoch_nothing_changes(
    applied: list[tuple[ConfigEntry, int]], one: int, other: int
) -> None:
    configuration = log(*applied)
    assert configuration.epoch(min(one, other)) <= configuration.epoch(max(one, other))
    if configuration.epoch(one) == configuration.epoch(other):
        for project in ("p", "q"):
            assert configuration.in_effect("Rule", project, one) == configuration.in_effect("Rule", project, other)


@given(APPLIED, PROBES)
def test_the_last_entry_of_the_log_that_is_in_effect_decides(applied: list[tuple[ConfigEntry, int]], at: int) -> None:
    """An entry is in effect when the latest append time up to and including it is two seconds old."""
    configuration = log(*applied)
    expected: dict[tuple[str, str], str | None] = {}
    latest = 0
    for written, appended_at in applied:
        latest = max(latest, appended_at)
        if latest + 2000 <= at:
            expected[written.project, written.name] = None if written.deleted else written.version
    for project in ("p", "q"):
        wanted = {name: version for (where, name), version in expected.items() if where == project and version}
        assert in_effect(configuration, at, project=project) == wanted


@given(APPLIED, APPLIED, PROBES)
def test_what_comes_later_does_not_change_what_was_in_effect(
    applied: list[tuple[ConfigEntry, int]], later: list[tuple[ConfigEntry, int]], at: int
) -> None:
    """Given that the broker's clock had passed `at` + 2 s: a restart and a replay see what the live job saw."""
    configuration = log(*applied)
    before = configuration.in_effect("Rule", "p", at)
    for written, appended_at in later:
        configuration.apply(written, at + 1 + appended_at)
    assert configuration.in_effect("Rule", "p", at) == before


SHARED = entry("shared", "s", kind="Scorer", project="")
OWN = entry("own", "s", kind="Scorer")


def test_a_scorer_of_the_organization_is_in_effect_in_every_project() -> None:
    configuration = log((SHARED, 0))
    assert in_effect(configuration, 2000, "Scorer") == {"s": "shared"}
    for found in (
        configuration.at("Scorer", "p", "s", 2000),
        configuration.newest("Scorer", "p", "s"),
        configuration.version("Scorer", "p", "s", "shared"),
        *configuration.history("Scorer", "p", "s"),
    ):
        assert found is not None
        assert (found.version, found.project) == ("shared", "")
    assert configuration.all_newest("Scorer", "p") == {}
    assert configuration.at("Scorer", "p", "s", 1999) is None


def test_a_projects_own_scorer_wins_until_it_is_deleted() -> None:
    configuration = log((SHARED, 0), (OWN, 1000), (entry("", "s", kind="Scorer", deleted=True), 2000))
    assert [in_effect(configuration, at, "Scorer") for at in (2000, 3000, 4000)] == [
        {"s": "shared"},
        {"s": "own"},
        {"s": "shared"},
    ]
    assert in_effect(configuration, 3000, "Scorer", "another") == {"s": "shared"}
    assert [v.version for v in configuration.history("Scorer", "p", "s")] == ["shared", "own", ""]
    assert [getattr(configuration.version("Scorer", "p", "s", v), "version", None) for v in ("own", "shared", "x")] == [
        "own",
        "shared",
        None,
    ]
    newest = configuration.newest("Scorer", "p", "s")
    assert newest is not None
    assert newest.version == "shared"


def test_rules_and_keys_are_not_shared() -> None:
    configuration = log((entry("1", "r", project=""), 0), (entry("1", "k", kind="Key", project=""), 0))
    assert (configuration.newest("Rule", "p", "r"), configuration.newest("Key", "p", "k")) == (None, None)


def test_a_version_tells_who_applied_it() -> None:
    (found,) = log((OWN.model_copy(update={"by": "k1"}), 0)).history("Scorer", "p", "s")
    assert found.by == "k1"
