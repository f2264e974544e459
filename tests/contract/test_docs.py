"""What the documentation lists is what there is."""

import json
import re
from pathlib import Path

from scorers.registry import TYPES
from sinks.webhook import AlertEvent
from streams.bridge.limits import Limits
from streams.document_files import parse
from streams.documents import check
from streams.settings import Settings, reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_tells_every_variable_as_it_is() -> None:
    """When it fails: write what `reference(Settings, Limits)` returns to the page."""
    assert (DOCS / "settings.md").read_text() == reference(Settings, Limits)


def test_every_scorer_has_its_section_with_every_setting() -> None:
    sections = re.split(r"^## `([\w-]+)`$", (DOCS / "scorers.md").read_text(), flags=re.MULTILINE)
    told = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(told) == sorted(TYPES)
    for name, cls in TYPES.items():
        assert [field for field in cls.__dataclass_fields__ if f"`{field}`" not in told[name]] == []


def test_the_schema_of_webhooks_is_the_one_of_the_code() -> None:
    """When it fails: write what `AlertEvent.model_json_schema()` returns to the file, with two spaces."""
    assert json.loads((DOCS / "webhook.schema.json").read_text()) == AlertEvent.model_json_schema()


def test_the_documents_that_the_page_of_alerts_shows_are_valid() -> None:
    blocks = re.findall(r"^```yaml\n(apiVersion.*?)^```", (DOCS / "alerts.md").read_text(), re.MULTILINE | re.DOTALL)
    found = [check(source.data()) for block in blocks for source in parse(block, "alerts.md")]
    assert [type(document).__name__ for document in found] == ["Destination"] * 4 + ["Silence", "Rule"]


def test_every_link_of_the_readme_leads_somewhere() -> None:
    readme = (DOCS.parent / "README.md").read_text()
    links = re.findall(r"\]\((docs/[\w.-]+)\)", readme)
    assert len(links) >= 5
    assert [link for link in links if not (DOCS.parent / link).is_file()] == []
