"""Documents by the time at which they are in effect."""

from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from streams.logic.in_effect import Remembered, named_attributes, rule_at, rule_of_event, rules, scorers
from streams.logic.rules import RuleVersion
from tests.support.records import configured, entered, entry, version_of

FAILS = {"all": [{"scorer": "s", "is": "fails"}]}


def rule(**further: object) -> RuleSpec:
    return RuleSpec.model_validate({"when": FAILS, **further})


def scorer(threshold: float) -> ScorerSpec:
    return ScorerSpec(type="latency", threshold=threshold)


def test_a_version_holds_from_two_seconds_after_its_append_until_the_next_one_does() -> None:
    configuration = entered([(entry("Scorer", "s", scorer(0.1)), 1000), (entry("Scorer", "s", scorer(0.2)), 5000)])
    found = {at: scorers(configuration, "default", at) for at in (2999, 3000, 6999, 7000)}
    thresholds = {at: [spec.threshold for _, spec in by_name.values()] for at, by_name in found.items()}
    assert thresholds == {2999: [], 3000: [0.1], 6999: [0.1], 7000: [0.2]}
    assert found[7000]["s"][0].version == version_of(scorer(0.2))


def test_a_deleted_document_is_out_of_effect_and_its_history_stays() -> None:
    spec = rule()
    configuration = entered([(entry("Rule", "r", spec), 0), (entry("Rule", "r", spec, deleted=True), 8000)])
    assert rule_at(configuration, "default", "r", 9999) == RuleVersion(
        "default", "r", version_of(spec), spec, 2000, 2000
    )
    assert rule_at(configuration, "default", "r", 10_000) is None
    late = rule_of_event(configuration, "default", "r", version_of(spec), 20_000)
    assert late == RuleVersion("default", "r", version_of(spec), spec, 2000, 2000)


def test_disabled_rules_match_nothing_but_are_known_to_the_counter() -> None:
    off = rule(enabled=False)
    configuration = configured(("Rule", "on", rule()), ("Rule", "off", off))
    assert [one.name for one in rules(configuration, "default", 2000)] == ["on"]
    known = rule_at(configuration, "default", "off", 2000)
    assert known is not None
    assert not known.spec.enabled


def test_projects_do_not_see_each_others_documents() -> None:
    entries = [(entry("Rule", "r", rule(times=n), project), 0) for n, project in ((1, "acme"), (2, "globex"))]
    configuration = entered(entries)
    found = {project: rules(configuration, project, 2000) for project in ("acme", "globex", "initech")}
    assert {project: [r.spec.times for r in of] for project, of in found.items()} == {
        "acme": [1], "globex": [2], "initech": [],
    }  # fmt: skip


def test_an_edit_of_the_conditions_starts_a_new_window_and_any_other_edit_keeps_it() -> None:
    versions = [rule(), rule(times=5), rule(times=5, cooldown="1h"), rule(times=5, group_by=["agent"])]
    configuration = entered((entry("Rule", "r", spec), 1000 * n) for n, spec in enumerate(versions))
    since = [rule_at(configuration, "default", "r", 2000 + 1000 * n) for n in range(4)]
    assert [one and one.window_since for one in since] == [2000, 2000, 2000, 5000]


def test_a_rule_that_came_back_after_its_deletion_starts_a_new_window() -> None:
    entries = [(entry("Rule", "r", rule(), deleted=deleted), at) for deleted, at in ((False, 0), (True, 1), (False, 2))]
    back = rule_at(entered(entries), "default", "r", 9000)
    assert back is not None
    assert back.window_since == 2002


def test_an_event_gets_the_version_it_names_and_an_unknown_one_none() -> None:
    old, new = rule(times=1), rule(times=2)
    configuration = entered([(entry("Rule", "r", old), 0), (entry("Rule", "r", new), 5000)])
    found = rule_of_event(configuration, "default", "r", version_of(old), 9000)
    assert found is not None
    assert found.spec == old
    assert rule_of_event(configuration, "default", "r", "never", 9000) is None
    assert rule_of_event(configuration, "acme", "r", version_of(old), 9000) is None


def test_the_attributes_that_enabled_rules_name_are_carried_to_them() -> None:
    by_condition = rule(when={"any": [{"attribute": "tier", "op": "==", "value": "gold"}, {"tag": "x"}]})
    configuration = configured(
        ("Rule", "a", rule(group_by=["agent", "attribute:region"])),
        ("Rule", "b", by_condition),
        ("Rule", "c", rule(enabled=False, group_by=["attribute:secret"])),
    )
    assert named_attributes(configuration, "default", 2000) == {"region", "tier"}


def test_what_is_derived_is_derived_once_until_something_takes_effect() -> None:
    asked: list[tuple[str, int]] = []

    def derive(_: object, project: str, at: int) -> int:
        asked.append((project, at))
        return len(asked)

    remembered = Remembered(derive)
    configuration = entered([(entry("Scorer", "s", scorer(0.1)), 0), (entry("Scorer", "s", scorer(0.2)), 5000)])
    assert [remembered.at(configuration, "p", at) for at in (2000, 6999, 7000, 2500)] == [1, 1, 2, 1]
    assert remembered.at(configuration, "q", 2000) == 3
    assert asked == [("p", 2000), ("p", 7000), ("q", 2000)]


def test_what_is_derived_from_one_configuration_is_never_told_of_another() -> None:
    remembered = Remembered(scorers)
    one, other = configured(("Scorer", "a", scorer(0.1))), configured(("Scorer", "b", scorer(0.1)))
    assert [list(remembered.at(c, "default", 2000)) for c in (one, other, one)] == [["a"], ["b"], ["a"]]


def test_a_version_that_is_read_later_takes_effect_though_the_same_moment_was_asked_before() -> None:
    remembered = Remembered(scorers)
    configuration = configured(("Scorer", "a", scorer(0.1)))
    assert list(remembered.at(configuration, "default", 9000)) == ["a"]
    configuration.apply(entry("Scorer", "b", scorer(0.1)), 1000)
    assert list(remembered.at(configuration, "default", 9000)) == ["a", "b"]
