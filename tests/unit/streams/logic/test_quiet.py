"""When people are not told although a rule fired."""

from datetime import UTC, datetime

import pytest

from schemas.alert import AlertChange
from schemas.documents.rule import RuleSpec
from schemas.documents.silence import SilenceSpec
from sinks.testing import FIRED, RULE
from streams.logic.quiet import Quiet, Surroundings, quiet, same_group

NOW = FIRED.changed_at
HOUR = 3_600_000
ENDS = datetime.fromtimestamp((NOW + HOUR) / 1000, UTC)


def silence(**given: object) -> SilenceSpec:
    return SilenceSpec.model_validate({"ends": ENDS, "reason": "maintenance", **given})


def rule(**given: object) -> RuleSpec:
    return RuleSpec.model_validate({**RULE.model_dump(by_alias=True), **given})


def alert(name: str, group_key: str = "{}", fired_at: int = NOW) -> AlertChange:
    return FIRED.model_copy(update={"rule": name, "group_key": group_key, "alert_id": name, "fired_at": fired_at})


def reason(found: Quiet | None) -> str:
    return found.reason if found else ""


@pytest.mark.parametrize(
    ("given", "hit"),
    [
        ({"rule": FIRED.rule}, True),
        ({"rule": "another"}, False),
        ({"group": {"agent": "CustomerServiceAgent"}}, True),
        ({"group": {"agent": "Another"}}, False),
        ({"group": {"customer": ""}}, False),
        ({"severity": "warning"}, True),
        ({"severity": "critical"}, False),
        ({"destination": "oncall-slack"}, True),
        ({"destination": "oncall-mail"}, False),
        ({"rule": FIRED.rule, "severity": "critical"}, False),
        ({"rule": FIRED.rule, "starts": ENDS.replace(year=2020)}, True),
        ({"rule": FIRED.rule, "starts": datetime.fromtimestamp((NOW + 1) / 1000, UTC)}, False),
    ],
)
def test_a_silence_holds_where_every_matcher_matches(given: dict[str, object], hit: bool) -> None:
    found = quiet(FIRED, "oncall-slack", Surroundings({"night": silence(**given)}), NOW)
    assert reason(found) == (f"silence 'night' until {ENDS.isoformat()}: maintenance" if hit else "")


def test_a_silence_ends_by_itself_and_the_longest_of_several_tells_when() -> None:
    longer = silence(rule=FIRED.rule, ends=ENDS.replace(year=2030))
    around = Surroundings({"a": silence(rule=FIRED.rule), "b": longer})
    found = quiet(FIRED, "x", around, NOW)
    assert found is not None
    assert (found.reason.startswith("silence 'b'"), found.until) == (True, longer.ends_ms)
    assert quiet(FIRED, "x", Surroundings({"a": silence(rule=FIRED.rule)}), NOW + HOUR) is None


def test_a_snoozed_alert_is_quiet_until_the_snooze_ends_whichever_change_carries_it() -> None:
    snoozed = FIRED.model_copy(update={"change": 1, "kind": "snoozed", "until": NOW + HOUR})
    around = Surroundings(open=(snoozed,))
    assert quiet(FIRED, "x", around, NOW, snoozed) == Quiet("the alert is snoozed", NOW + HOUR)
    assert quiet(snoozed, "x", Surroundings(), NOW) == Quiet("the alert is snoozed", NOW + HOUR)
    assert quiet(FIRED, "x", around, NOW + HOUR, snoozed) is None


def test_a_rule_is_quiet_while_one_that_inhibits_it_has_an_open_alert_of_the_same_group() -> None:
    rules = {"Outage": rule(inhibits=[FIRED.rule]), FIRED.rule: RULE}
    for key, hit in (("{}", True), (FIRED.group_key, True), ('{"agent":"Another"}', False), ('{"customer":"c"}', True)):
        found = quiet(FIRED, "x", Surroundings(rules=rules, open=(alert("Outage", key),)), NOW)
        assert reason(found) == ("an alert of rule 'Outage' is open" if hit else "")
    assert quiet(FIRED, "x", Surroundings(rules=rules), NOW) is None
    assert quiet(FIRED, "x", Surroundings(rules=rules, open=(alert("Unrelated"),)), NOW) is None


def test_of_two_rules_that_inhibit_each_other_one_is_always_told() -> None:
    rules = {"A": rule(inhibits=["B"]), "B": rule(inhibits=["A"])}
    for a_at, b_at in ((NOW, NOW + 1), (NOW + 1, NOW), (NOW, NOW)):
        both = (alert("A", fired_at=a_at), alert("B", fired_at=b_at))
        silent = [one.rule for one in both if quiet(one, "x", Surroundings(rules=rules, open=both), NOW)]
        assert len(silent) == 1


def test_outside_its_schedule_a_rule_is_quiet_until_it_opens() -> None:
    scheduled = rule(schedule={"timezone": "Europe/Berlin", "weekdays": ["mon"], "hours": "09:00-17:00"})
    found = quiet(FIRED, "x", Surroundings(rules={FIRED.rule: scheduled}), NOW)  # 2026 began on a Thursday
    monday = round(datetime(2026, 1, 5, 8, tzinfo=UTC).timestamp() * 1000)
    assert found == Quiet("outside the rule's schedule, mon 09:00-17:00 Europe/Berlin", monday)
    assert quiet(FIRED, "x", Surroundings(rules={FIRED.rule: scheduled}), monday) is None


def test_groups_are_compared_by_what_they_share() -> None:
    assert same_group('{"agent":"a","customer":"c"}', '{"customer":"c","session":"s"}')
    assert not same_group('{"agent":"a","customer":"c"}', '{"agent":"a","customer":"d"}')
    assert same_group("{}", '{"agent":"a"}')
