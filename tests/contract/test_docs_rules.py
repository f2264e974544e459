"""The rules that the documentation shows are rules."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from schemas.documents.rule import Rule, RuleSpec

PAGE = (Path(__file__).parents[2] / "docs/rules.md").read_text()
SHOWN = [YAML(typ="safe").load(snippet) for snippet in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@pytest.mark.parametrize("document", SHOWN, ids=lambda document: str(document["metadata"]["name"]))
def test_every_rule_of_the_page_can_be_applied(document: object) -> None:
    Rule.model_validate(document)


def test_the_page_shows_every_form_and_tells_every_default() -> None:
    assert {"times", "rate", "sustained", "no_traffic"} <= set.union(*(set(document["spec"]) for document in SHOWN))
    rows = dict(re.findall(r"^\| `(\w+)` \| `?(\w*)`? \|", PAGE, re.MULTILINE))
    spec = RuleSpec.model_validate({"when": {"all": [{"scorer": "s", "is": "fails"}]}}).model_dump(mode="json")
    defaults = ("times", "within", "cooldown", "severity", "per")
    assert {name: rows[name] for name in defaults} == {name: str(spec[name]) for name in defaults}
