"""What `apply`, `diff`, `get` and `delete` do: decisions about documents, without HTTP and without Kafka."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Literal

import orjson
from pydantic import BaseModel

from schemas.config import ConfigEntry
from schemas.documents import KINDS
from schemas.documents.base import Base, EnvRef, canonical_spec, spec_version
from schemas.documents.destination import EmailSpec, Template, Told
from schemas.documents.rule import BucketIs, Notify, RuleSpec, ScorerIn, ScorerIs, ScorerValue, SendEmail
from schemas.documents.scorer import ScorerSpec
from schemas.documents.silence import SilenceSpec
from scorers import registry
from sinks import template
from sinks.message import compose
from sinks.testing import FIRED, RULE
from streams.document_files import yaml_text
from streams.documents import Invalid, Place, Problem, check
from streams.logic.configuration import Configuration, Versioned

Result = Literal["created", "changed", "unchanged"]
UPLOAD_FIRST = "`with` is {bundle: ID} of uploaded code: `vedette upload_scorer FILE` makes the document, `vedette get scorer NAME -o yaml` shows it"


@dataclass(frozen=True)
class Planned:
    """What applying one document does."""

    document: Base
    entry: ConfigEntry
    before: Versioned | None
    result: Result
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, project and name."""
        return self.entry.kind, self.entry.project, self.entry.name

    def told(self) -> dict[str, Any]:
        """Returns what `apply` answers for the document."""
        kind, project, name = self.key
        version, warnings = self.entry.version, list(self.warnings)
        return {"kind": kind, "project": project, "name": name, "result": self.result, "version": version, "warnings": warnings}  # fmt: skip


SecretCheck = Callable[[EnvRef, str], str | None]
"""Tells, for a reference and a project, why a job cannot read the secret, or None when it can."""


class InvalidDocuments(ValueError):
    """Documents that cannot be applied: problems by the index of their document."""

    def __init__(self, problems: Sequence[tuple[int, Problem]]) -> None:
        super().__init__("; ".join(f"document {index + 1}: {problem}" for index, problem in problems))
        self.problems = tuple(problems)

    def told(self) -> list[dict[str, Any]]:
        """Returns the problems as JSON data."""
        return [{"index": index, "path": list(p.path), "message": p.message} for index, p in self.problems]


def checked(
    items: Sequence[Any], secret_problem: SecretCheck, configuration: Configuration | None = None
) -> list[Base]:
    """Returns the documents that data spells out: all of them, or none.

    Args:
        items: the data.
        secret_problem: what is wrong with a reference to a secret.
        configuration: that holds the uploads which documents may name; None: there are none.

    Raises:
        InvalidDocuments: with every problem of every document.

    """
    documents: list[Base] = []
    problems: list[tuple[int, Problem]] = []
    first: dict[tuple[str, str, str], int] = {}
    for index, item in enumerate(items):
        try:
            document = check(item)
        except Invalid as error:
            problems += [(index, problem) for problem in error.problems]
            continue
        problems += [
            (index, problem) for problem in _beyond_schema(document, secret_problem, configuration or Configuration())
        ]
        if first.setdefault(_key(document), index) != index:
            problems.append((index, Problem(("metadata", "name"), "stands here twice; keep one of the two")))
        documents.append(document)
    if problems:
        raise InvalidDocuments(problems)
    return documents


def _key(document: Base) -> tuple[str, str, str]:
    return kind_of(document), document.metadata.project, document.metadata.name


def kind_of(document: Base) -> str:
    """Returns a document's kind."""
    return type(document).__name__


def spec_of(document: Base) -> BaseModel:
    """Returns a document's spec; every kind has one."""
    spec: BaseModel = document.spec  # type: ignore[attr-defined]
    return spec


def _beyond_schema(document: Base, secret_problem: SecretCheck, configuration: Configuration) -> Iterator[Problem]:
    spec = spec_of(document)
    if isinstance(spec, ScorerSpec):
        yield from _scorer(spec, document.metadata.project, configuration)
    if isinstance(spec, Told) and spec.template is not None:
        yield from _template(spec.template)
    for path, reference in _secrets(spec, ("spec",)):
        why = secret_problem(reference, document.metadata.project)
        if why is not None:
            yield Problem(path, why)


def _scorer(spec: ScorerSpec, project: str, configuration: Configuration) -> Iterator[Problem]:
    if spec.type == "hosted":
        if configuration.newest("Bundle", project, str(spec.with_.get("bundle"))) is None or len(spec.with_) > 1:
            yield Problem(("spec", "with"), UPLOAD_FIRST)
        return
    is_prompt = spec.type == "prompt"
    try:
        registry.prompt(spec) if is_prompt else registry.build(spec)
    except ValueError as error:
        yield Problem(("spec", "with" if is_prompt or spec.type in registry.TYPES else "type"), str(error))


def _template(own: Template) -> Iterator[Problem]:
    """What an example of an alert shows; a name that only some alerts lack is met when it is told."""
    try:
        template.rendered(compose(FIRED, RULE, "https://vedette.example.com", "somebody"), own)
    except template.Failed as failure:
        yield Problem(("spec", "template", failure.part), failure.reason)


def _secrets(value: Any, path: Place) -> Iterator[tuple[Place, EnvRef]]:
    if isinstance(value, EnvRef):
        yield path, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _secrets(item, (*path, index))
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from _secrets(getattr(value, name), (*path, field.alias or name))


Known = Callable[[str, str, str], bool]
"""Tells whether there is a document of a kind, project and name, or will be."""


def plan(documents: Sequence[Base], configuration: Configuration, by: str, has_smtp: bool) -> list[Planned]:  # noqa: FBT001
    """Returns what applying documents to a configuration does, in their order."""
    together = {_key(document) for document in documents}

    def known(kind: str, project: str, name: str) -> bool:
        return (kind, project, name) in together or configuration.newest(kind, project, name) is not None

    return [_planned(document, configuration, by, tuple(_warnings(document, known, has_smtp))) for document in documents]  # fmt: skip


def _planned(document: Base, configuration: Configuration, by: str, warnings: tuple[str, ...]) -> Planned:
    kind, project, name = _key(document)
    spec, description = canonical_spec(spec_of(document)), document.metadata.description
    version, before = spec_version(spec), configuration.all_newest(kind, project).get(name)
    entry = ConfigEntry(
        project=project, kind=kind, name=name, version=version, spec=spec, description=description, by=by
    )
    same = before is not None and (before.version, before.description) == (version, description)
    result: Result = "created" if before is None else "unchanged" if same else "changed"
    return Planned(document, entry, before, result, warnings)


def _warnings(document: Base, known: Known, has_smtp: bool) -> Iterator[str]:  # noqa: FBT001
    spec, project = spec_of(document), document.metadata.project
    if isinstance(spec, EmailSpec) and spec.smtp is None and not has_smtp:
        yield "no mail server: give `smtp`, or set VEDETTE_SMTP_URL for the deliver job"
    if isinstance(spec, Told) and spec.fallback and not known("Destination", project, spec.fallback):
        yield f"destination {spec.fallback!r} does not exist in project {project} yet: what fails is told nowhere else"
    if isinstance(spec, SilenceSpec) and spec.rule and not known("Rule", project, spec.rule):
        yield f"rule {spec.rule!r} does not exist in project {project}: the silence matches nothing"
    if isinstance(spec, RuleSpec):
        yield from _warnings_of_rule(spec, project, known, has_smtp)


def _warnings_of_rule(spec: RuleSpec, project: str, known: Known, has_smtp: bool) -> Iterator[str]:  # noqa: FBT001
    for condition in spec.when.conditions:
        if isinstance(condition, BucketIs):
            yield f"bucket {condition.bucket!r} does not exist in project {project} yet: nothing satisfies the condition"
        if isinstance(condition, ScorerIs | ScorerValue | ScorerIn) and not known("Scorer", project, condition.scorer):
            yield f"scorer {condition.scorer!r} does not exist in project {project} yet: the rule waits for its scores"
    for rule in spec.inhibits:
        if not known("Rule", project, rule):
            yield f"rule {rule!r} does not exist in project {project} yet: there is nothing to keep quiet"
    for action in spec.actions:
        if isinstance(action, Notify) and not known("Destination", project, action.notify):
            yield f"destination {action.notify!r} does not exist in project {project} yet: its alerts will fail"
        if isinstance(action, SendEmail) and not has_smtp:
            yield "no mail server for `email`: set VEDETTE_SMTP_URL for the deliver job"
    if not spec.actions:
        yield "no actions: its alerts are only listed"


def deletion(before: Versioned, by: str) -> ConfigEntry:
    """Returns the entry that deletes a document."""
    return ConfigEntry(
        project=before.project, kind=before.kind, name=before.name, version=before.version, deleted=True, by=by
    )


def still_refer(configuration: Configuration, kind: str, project: str, name: str) -> list[str]:
    """Returns the rules that name a scorer or destination."""
    return [rule for rule, version in configuration.all_newest("Rule", project).items() if _names(version, kind, name)]


def _names(rule: Versioned, kind: str, name: str) -> bool:
    spec = RuleSpec.model_validate_json(rule.spec)
    if kind == "Scorer":
        return any(isinstance(c, ScorerIs | ScorerValue | ScorerIn) and c.scorer == name for c in spec.when.conditions)
    return kind == "Destination" and any(isinstance(a, Notify) and a.notify == name for a in spec.actions)


def listed(configuration: Configuration, projects: Sequence[str], kind: str | None, name: str | None) -> list[dict[str, Any]]:  # fmt: skip
    """Returns the newest versions of documents, by project, kind and name."""
    return [
        shown(version)
        for project in sorted(projects)
        for one in ([kind] if kind else KINDS)
        for own, version in sorted(configuration.all_newest(one, project).items())
        if name in (None, own)
    ]


def shown(version: Versioned) -> dict[str, Any]:
    """Returns a document as it can be applied again, with its version beside it."""
    return {"document": _document(version), "version": version.version, "effective_at": version.effective_at}


def _document(version: Versioned) -> dict[str, Any]:
    metadata = {"name": version.name, "project": version.project}
    if version.description:
        metadata["description"] = version.description
    spec = without_nothing(orjson.loads(version.spec))
    return {"apiVersion": "vedette/v1", "kind": version.kind, "metadata": metadata, "spec": spec}


def without_nothing(value: Any) -> Any:
    """Returns data without what says nothing: nulls, and lists and mappings that are empty; a scorer's `with` stays as it is."""
    if isinstance(value, dict):
        kept = {key: item if key == "with" else without_nothing(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item not in ({}, [])}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


def difference(planned: Planned) -> str:
    """Returns a unified diff between the newest version and the document; empty when they mean the same."""
    if planned.result == "unchanged":
        return ""
    kind, project, name = planned.key
    before = [] if planned.before is None else _lines(_document(planned.before))
    entry = planned.entry
    after = Versioned(project, kind, name, entry.version, entry.spec, False, 0, entry.description)  # noqa: FBT003
    label = f"{project}/{kind}/{name}"
    old = "not there" if planned.before is None else planned.before.version
    return "\n".join(unified_diff(before, _lines(_document(after)), f"{label} {old}", f"{label} {entry.version}", lineterm="", n=2))  # fmt: skip


def _lines(document: dict[str, Any]) -> list[str]:
    return yaml_text(document).splitlines()
