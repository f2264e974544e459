"""What an upload makes of the scorer that was there before."""

import orjson

from schemas.config import ConfigEntry
from schemas.documents.base import canonical_spec
from schemas.documents.bundle import BundleSpec, Described
from schemas.documents.scorer import ScorerSpec
from streams.api.scorers import bundle_of
from streams.api.uploads import THRESHOLD, TIMEOUT_S, next_version
from streams.logic.configuration import Configuration, Versioned

BUNDLE = BundleSpec(code="code", manifest=Described(class_name="Mine", scorer="Mine", threshold=0.8))


def before(**spec: object) -> Versioned:
    given = {"type": "hosted", "with": {"bundle": "old"}, **spec}
    return Versioned("p", "Scorer", "Mine", "1", canonical_spec(ScorerSpec.model_validate(given)), False, 0, "why")


def spec(entry: ConfigEntry) -> ScorerSpec:
    return ScorerSpec.model_validate_json(entry.spec)


def test_the_first_upload_makes_a_hosted_scorer_with_the_threshold_of_its_class() -> None:
    entry = next_version("p", "Mine", BUNDLE, None, "key")
    made = spec(entry)
    assert (made.type, made.with_, made.threshold, made.timeout, made.enabled) == ("hosted", {"bundle": BUNDLE.identity("p")}, 0.8, TIMEOUT_S, True)  # fmt: skip
    assert (entry.by, entry.project, entry.name) == ("key", "p", "Mine")


def test_a_class_without_a_threshold_gets_one_so_that_it_can_fail() -> None:
    judge = BUNDLE.model_copy(update={"manifest": Described(class_name="Judge")})
    assert spec(next_version("p", "Judge", judge, None, "key")).threshold == THRESHOLD


def test_a_further_upload_changes_code_and_threshold_and_leaves_how_it_runs() -> None:
    online = [{"target": "example", "sampling_rate": 0.5}]
    entry = next_version("p", "Mine", BUNDLE, before(online=online, timeout=7, enabled=False, threshold=0.1), "key")
    made = spec(entry)
    assert (made.with_, made.threshold) == ({"bundle": BUNDLE.identity("p")}, 0.8)
    assert (made.timeout, made.enabled, made.online[0].sampling_rate, entry.description) == (7, False, 0.5, "why")


def test_the_same_upload_in_two_places_is_two_versions() -> None:
    assert next_version("p", "Mine", BUNDLE, None, "k").version != next_version("", "Mine", BUNDLE, None, "k").version


def test_a_document_of_a_project_finds_the_upload_of_the_organization() -> None:
    configuration = Configuration()
    name = BUNDLE.identity("")
    content = canonical_spec(BUNDLE)
    configuration.apply(ConfigEntry(project="", kind="Bundle", name=name, version="1", spec=content), 0)
    own = before(**{"with": {"bundle": name}})
    assert bundle_of(configuration, own) == BUNDLE
    assert orjson.loads(content)["manifest"]["class_name"] == "Mine"
    assert bundle_of(configuration, before(type="contains", **{"with": {"any": ["x"]}})) is None
