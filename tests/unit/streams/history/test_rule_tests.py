"""Rules tested as code: events with their times, and what the rule is expected to tell."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.documents.rule import RuleSpec
from streams.cli.app import app
from streams.history.rule_tests import RuleTest, run

SPEC = {
    "when": {"all": [{"scorer": "Names the parcel", "is": "fails"}]},
    "group_by": ["agent"],
    "times": 3,
    "within": "5m",
    "cooldown": "30m",
}
RULE = """
apiVersion: vedette/v1
kind: Rule
metadata: {name: Parcel failures}
spec: {when: {all: [{scorer: Names the parcel, is: fails}]}, group_by: [agent], times: 3, within: 5m, cooldown: 30m}
"""
TESTS = """
rules: [rule.yaml]
tests:
  - name: three failures page once
    rule: Parcel failures
    events:
      - {at: 0s, scorer: Names the parcel, agent: Clerk, times: 5, every: 1m}
    until: 1h
    expect:
      - {at: 2m, alert: fired, group: {agent: Clerk}, subjects: 3}
      - {at: 34m, alert: resolved, suppressed: 2}
"""


def outcome(events: list[dict[str, Any]], expect: list[dict[str, Any]], until: str = "1m", **spec: Any) -> list[str]:
    test = RuleTest.model_validate({"name": "t", "rule": "R", "events": events, "until": until, "expect": expect})
    return list(run(test, RuleSpec.model_validate({**SPEC, **spec})).problems)


def failing(**event: Any) -> dict[str, Any]:
    return {"at": "0s", "scorer": "Names the parcel", "agent": "Clerk", **event}


def test_what_is_expected_and_told_passes() -> None:
    assert outcome([failing(times=3)], [{"at": "2s", "alert": "fired", "severity": "warning"}]) == []


def test_an_alert_that_is_not_told_is_named() -> None:
    assert outcome([failing(times=2)], [{"at": "1s", "alert": "fired"}]) == ["not told: fired at 1s"]


def test_an_alert_that_nobody_expects_is_named_with_its_group() -> None:
    (problem,) = outcome([failing(times=3)], [])
    assert problem == 'not expected: fired at 2s, group {"agent":"Clerk"}, 3 subjects, 0 suppressed'


def test_other_numbers_than_expected_are_both_told() -> None:
    problems = outcome([failing(times=3)], [{"at": "2s", "alert": "fired", "subjects": 4}])
    assert problems[1] == "not told: fired at 2s, subjects 4"


def test_groups_are_counted_apart() -> None:
    events = [failing(agent=agent, times=2) for agent in ("Clerk", "Porter")]
    assert outcome(events, []) == []


def test_what_passes_does_not_count() -> None:
    assert outcome([failing(times=2), failing(at="3s", outcome="pass")], []) == []


def test_the_same_subject_counts_once() -> None:
    assert outcome([failing(subject="one", times=3)], []) == []


def test_spans_satisfy_conditions_about_numbers() -> None:
    when = {"all": [{"metric": "duration_ms", "op": ">", "value": 1000}]}
    events = [{"at": "0s", "span": "chat", "duration_ms": 1500, "agent": "Clerk"}]
    assert outcome(events, [{"at": "0s", "alert": "fired"}], when=when, times=1) == []


def test_an_alert_resolves_at_the_first_tick_after_its_silence() -> None:
    expect = [{"at": "2s", "alert": "fired"}, {"at": "62s", "alert": "resolved"}]
    assert outcome([failing(times=3)], expect, until="2m", resolve_after="1m") == []


def test_several_conditions_come_together_over_one_trace_whatever_their_order() -> None:
    when = {"all": [{"scorer": "Names the parcel", "is": "fails"}, {"metric": "error", "op": "==", "value": 1}]}
    events = [
        failing(at="5s", trace="t1"),
        {"at": "2s", "span": "chat", "error": True, "trace": "t1"},
        {"at": "9s", "span": "chat", "error": True, "trace": "t2"},
    ]
    expect = [{"at": "5s", "alert": "fired", "subjects": 1, "group": {"agent": "Clerk"}}]
    assert outcome(events, expect, when=when, times=1) == []


def test_a_person_acknowledges_and_resolves() -> None:
    events = [
        failing(times=3),
        {"at": "10s", "command": "acknowledge", "group": {"agent": "Clerk"}},
        {"at": "20s", "command": "resolve", "group": {"agent": "Clerk"}},
    ]
    expect = [
        {"at": "2s", "alert": "fired"},
        {"at": "10s", "alert": "acknowledged"},
        {"at": "20s", "alert": "resolved"},
    ]
    assert outcome(events, expect) == []


def test_a_share_counts_what_passed_too() -> None:
    events = [failing(times=2), failing(at="2s", outcome="pass", times=6), failing(at="10s", times=2)]
    expect = [{"at": "11s", "alert": "fired", "subjects": 4}]
    assert outcome(events, expect, times=1, rate={"share": 0.4, "of": 8}) == []


def test_silence_fires_for_want_of_traffic_and_traffic_resolves() -> None:
    events = [failing(outcome="pass"), failing(at="70s", outcome="pass")]
    expect = [{"at": "30s", "alert": "fired"}, {"at": "70s", "alert": "resolved"}]
    assert outcome(events, expect, times=1, no_traffic="30s", until="90s") == []


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "rule.yaml").write_text(RULE)
    (tmp_path / "tests.yaml").write_text(TESTS)
    return tmp_path / "tests.yaml"


def test_the_command_ends_with_0_when_all_pass(files: Path) -> None:
    done = CliRunner().invoke(app, ["rules", "test", str(files)])
    assert done.exit_code == 0, done.output
    assert "passed" in done.stdout


def test_the_command_ends_with_1_and_tells_the_difference(files: Path) -> None:
    files.write_text(TESTS.replace("subjects: 3", "subjects: 7"))
    done = CliRunner().invoke(app, ["rules", "test", str(files)])
    assert done.exit_code == 1
    assert "three failures page once: not told: fired at 2m" in done.stderr


def test_a_word_that_is_not_known_is_told_with_its_place(files: Path) -> None:
    files.write_text(TESTS.replace("scorer: Names", "skorer: Names"))
    done = CliRunner().invoke(app, ["rules", "test", str(files)])
    assert done.exit_code == 1
    assert f"{files}:7:18: tests[0].events[0].skorer: unknown key; did you mean `scorer`?" in done.stderr


def test_a_rule_that_no_file_holds_is_named(files: Path) -> None:
    files.write_text(TESTS.replace("rule: Parcel failures", "rule: Other"))
    done = CliRunner().invoke(app, ["rules", "test", str(files)])
    assert "is of rule 'Other'; its files hold Parcel failures" in done.stderr
