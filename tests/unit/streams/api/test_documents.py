"""What applying documents decides, without HTTP and Kafka."""

from typing import Any

import pytest

from schemas.config import ConfigEntry
from schemas.documents.base import Base, EnvRef
from streams.api.documents import (
    InvalidDocuments,
    checked,
    deletion,
    difference,
    listed,
    plan,
    shown,
    still_refer,
)
from streams.logic.configuration import Configuration


def document(kind: str, name: str, spec: dict[str, Any], project: str = "p", description: str = "") -> dict[str, Any]:
    metadata = {"name": name, "project": project, "description": description}
    return {"apiVersion": "vedette/v1", "kind": kind, "metadata": metadata, "spec": spec}


SCORER = document("Scorer", "parcels", {"type": "contains", "with": {"any": ["parcel"]}})
SLACK = document("Destination", "oncall", {"type": "slack", "token": {"env": "TOKEN"}, "channel": "#a"})
RULE = document(
    "Rule", "many", {"when": {"any": [{"scorer": "parcels", "is": "fails"}]}, "actions": [{"notify": "oncall"}]}
)


def visible(_: EnvRef, __: str) -> None:
    return None


def invisible(reference: EnvRef, project: str) -> str:
    return f"{reference.env} may not be read by {project}"


def applied(configuration: Configuration, *documents: Any, at: int = 1000) -> list[ConfigEntry]:
    planned = plan(checked(list(documents), visible), configuration, "key", has_smtp=True)
    entries = [one.entry for one in planned if one.result != "unchanged"]
    for entry in entries:
        configuration.apply(entry, at)
    return entries


def results(configuration: Configuration, *documents: Any) -> list[str]:
    planned: list[Base] = checked(list(documents), visible)
    return [one.result for one in plan(planned, configuration, "key", has_smtp=True)]


def test_a_document_is_created_then_unchanged_then_changed() -> None:
    configuration = Configuration()
    assert results(configuration, SCORER) == ["created"]
    applied(configuration, SCORER)
    assert results(configuration, SCORER) == ["unchanged"]
    spelled_out = document("Scorer", "parcels", {**SCORER["spec"], "timeout": 5, "enabled": True})
    assert results(configuration, spelled_out) == ["unchanged"]
    assert results(configuration, document("Scorer", "parcels", SCORER["spec"], description="new")) == ["changed"]
    assert results(configuration, document("Scorer", "parcels", {**SCORER["spec"], "threshold": 0.5})) == ["changed"]
    assert results(configuration, document("Scorer", "parcels", SCORER["spec"], project="q")) == ["created"]


def test_what_is_shown_can_be_applied_again_and_changes_nothing() -> None:
    configuration = Configuration()
    applied(configuration, SCORER, SLACK, RULE)
    again = [one["document"] for one in listed(configuration, ["p"], None, None)]
    assert [one["kind"] for one in again] == ["Scorer", "Destination", "Rule"]
    assert results(configuration, *again) == ["unchanged"] * 3
    assert listed(configuration, ["q"], None, None) == []
    assert [one["document"]["metadata"]["name"] for one in listed(configuration, ["p"], "Rule", "many")] == ["many"]


def test_references_to_what_does_not_exist_warn_unless_it_comes_along() -> None:
    def warnings(*documents: Any, has_smtp: bool = True) -> list[tuple[str, ...]]:
        return [one.warnings for one in plan(checked(list(documents), visible), Configuration(), "k", has_smtp)]

    assert warnings(RULE) == [
        (
            "scorer 'parcels' does not exist in project p yet: the rule waits for its scores",
            "destination 'oncall' does not exist in project p yet: its alerts will fail",
        )
    ]
    assert warnings(RULE, SCORER, SLACK) == [(), (), ()]
    mail = document("Destination", "mail", {"type": "email", "to": ["a@b"]})
    assert warnings(mail, has_smtp=False) == [
        ("no mail server: give `smtp`, or set VEDETTE_SMTP_URL for the deliver job",)
    ]
    silent = document("Rule", "silent", {"when": {"any": [{"tag": "x"}]}})
    assert warnings(silent) == [("no actions: its alerts are only listed",)]
    when = {"any": [{"bucket": "angry"}, {"scorer": "tone", "in": ["rude"]}]}
    assert warnings(document("Rule", "waits", {"when": when, "actions": [{"email": ["a@b"]}]})) == [
        (
            "bucket 'angry' does not exist in project p yet: nothing satisfies the condition",
            "scorer 'tone' does not exist in project p yet: the rule waits for its scores",
        )
    ]


def test_all_problems_of_all_documents_are_told_and_nothing_is_returned() -> None:
    wrong_type = document("Scorer", "a", {"type": "contians"})
    wrong_with = document("Scorer", "b", {"type": "contains", "with": {"any": []}})
    twice = [SCORER, SCORER]
    with pytest.raises(InvalidDocuments) as error:
        checked([wrong_type, wrong_with, *twice, SLACK, {"kind": "Rule"}], invisible)
    told = [(one["index"], ".".join(map(str, one["path"]))) for one in error.value.told()]
    assert told == [
        (0, "spec.type"),
        (1, "spec.with"),
        (3, "metadata.name"),
        (4, "spec.token"),
        (5, ""),
        (5, ""),
        (5, ""),
    ]
    assert error.value.told()[3]["message"] == "TOKEN may not be read by p"


def test_a_deleted_document_is_gone_until_it_is_created_again() -> None:
    configuration = Configuration()
    applied(configuration, SCORER, RULE)
    before = configuration.newest("Scorer", "p", "parcels")
    assert before is not None
    configuration.apply(deletion(before, "key"), 2000)
    assert configuration.newest("Scorer", "p", "parcels") is None
    assert still_refer(configuration, "Scorer", "p", "parcels") == ["many"]
    assert still_refer(configuration, "Destination", "p", "oncall") == ["many"]
    assert still_refer(configuration, "Destination", "p", "other") == []
    assert results(configuration, SCORER) == ["created"]


def test_a_difference_names_both_versions_and_the_lines() -> None:
    configuration = Configuration()
    (entry,) = applied(configuration, SCORER)
    newer = document("Scorer", "parcels", {**SCORER["spec"], "threshold": 0.5})
    same, changed = (plan(checked([d], visible), configuration, "k", has_smtp=True)[0] for d in (SCORER, newer))
    assert difference(same) == ""
    lines = difference(changed).splitlines()
    assert lines[0] == f"--- p/Scorer/parcels {entry.version}"
    assert lines[1] == f"+++ p/Scorer/parcels {changed.entry.version}"
    assert [line for line in lines[3:] if line[0] in "+-"] == ["+  threshold: 0.5"]


def test_an_effective_time_comes_with_a_shown_document() -> None:
    configuration = Configuration()
    applied(configuration, SCORER, at=5000)
    newest = configuration.newest("Scorer", "p", "parcels")
    assert newest is not None
    assert shown(newest)["effective_at"] == 7000


def test_a_hosted_scorer_names_code_that_was_uploaded_to_its_project_or_to_all() -> None:
    configuration = Configuration()
    for project, name in (("p", "own"), ("", "everybodys"), ("another", "foreign")):
        configuration.apply(ConfigEntry(project=project, kind="Bundle", name=name, version="1"), 0)

    def hosted(with_: dict[str, str]) -> Any:
        return document("Scorer", "s", {"type": "hosted", "with": with_})

    for bundle in ("own", "everybodys"):
        assert len(checked([hosted({"bundle": bundle})], visible, configuration)) == 1
    for with_ in ({"bundle": "foreign"}, {"bundle": "none"}, {}, {"bundle": "own", "further": "x"}):
        with pytest.raises(InvalidDocuments, match="vedette upload_scorer"):
            checked([hosted(with_)], visible, configuration)


def test_a_prompt_is_applied_and_a_setting_that_it_does_not_have_is_told() -> None:
    polite = document("Scorer", "Polite", {"type": "prompt", "with": {"prompt": "Is {{output}} polite?"}})
    assert results(Configuration(), polite) == ["created"]
    odd = document("Scorer", "Odd", {"type": "prompt", "with": {"promt": "Is {{output}} polite?"}})
    with pytest.raises(InvalidDocuments, match=r"with\.promt: no such setting; did you mean 'prompt'"):
        checked([odd], visible)
