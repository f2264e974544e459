"""Configuration documents out of plain data: every problem at once, each with its place and a suggestion."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError

from schemas.documents import DOCUMENT, KINDS
from schemas.documents.base import Base

Place = tuple[str | int, ...]
"""Where in a document something stands: keys and indexes from its top."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a document, where in it, and what to write instead."""

    path: Place
    message: str

    def __str__(self) -> str:
        where = path_text(self.path)
        return f"{where}: {self.message}" if where else self.message


class Invalid(ValueError):
    """A document that breaks its schema."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def with_project(data: Any, project: str | None) -> Any:
    """Returns a document's data with the project of a command or request, when it names none itself.

    Raises:
        Invalid: it names another one.

    """
    metadata = data.get("metadata") if isinstance(data, dict) else None
    if project is None or not isinstance(metadata, dict):
        return data
    own = metadata.get("project", project)
    if own != project:
        message = f"is {own}, but the command is for {project}; leave one of them out"
        raise Invalid([Problem(("metadata", "project"), message)])
    return {**data, "metadata": {**metadata, "project": project}}


def check(data: Any) -> Base:
    """Returns the document that plain data spells out.

    Raises:
        Invalid: with every problem at once, each with its place and a suggestion.

    """
    if not isinstance(data, dict):
        raise Invalid([Problem((), "is no document; a document has apiVersion, kind, metadata and spec")])
    if data.get("kind") not in KINDS:
        raise Invalid([_kind(data)])
    try:
        document: Base = DOCUMENT.validate_python(data)
    except ValidationError as error:
        root = {**json_schema(), "$ref": f"#/$defs/{data['kind']}"}
        raise Invalid(problems(data, error, root)) from error
    return document


def problems(data: Any, error: ValidationError, root: Mapping[str, Any]) -> list[Problem]:
    """Returns what pydantic found wrong with plain data, each with its place and a suggestion out of the JSON Schema `root`."""
    return [_problem(data, dict(details), root) for details in error.errors(include_url=False)]


def _kind(data: Mapping[str, Any]) -> Problem:
    if "kind" not in data:
        return Problem((), f"`kind` is missing; there are {', '.join(KINDS)}")
    return Problem(("kind",), f"{data['kind']!r} is no kind{_did_you_mean(str(data['kind']), KINDS)}")


def _problem(data: Mapping[str, Any], error: Mapping[str, Any], root: Mapping[str, Any]) -> Problem:
    path = _path(data, error["loc"])
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key{_did_you_mean(str(path[-1]), _keys(root, path[:-1]))}")
    if kind == "missing":
        return Problem(path, f"`{error['loc'][-1]}` is missing")
    if kind.startswith("union_tag"):
        return Problem(path, _tag(message))
    if "EnvRef" in message:
        return Problem(path, "is a secret; write {env: NAME} and set NAME in the environment")
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return Problem(path, re.sub(r"valid dictionary or instance of \w+", "mapping", message))


def _tag(message: str) -> str:
    quoted = re.findall(r"'([^']+)'", message)
    if "Unable to extract" in message:
        return f"`{quoted[0] if quoted else 'type'}` is missing; see `vedette schema`"
    return f"{quoted[0]!r} is unknown{_did_you_mean(quoted[0], quoted[2:])}"


def _path(data: Any, loc: Sequence[str | int]) -> Place:
    """A location in the data: pydantic's also holds the tags of unions and, at the end, a key that is missing."""
    path: list[str | int] = []
    for step in loc:
        inside = isinstance(data, dict) and step in data
        if inside or (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            data = data[step]
            path.append(step)
    return tuple(path)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = sorted(set(known))
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else f"; there are {', '.join(names)}" if names else ""


def path_text(path: Place) -> str:
    """Returns `spec.when.all[0]` for the keys and indexes of a place."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


@cache
def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of all kinds, for editors and checks."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vedette configuration document",
        **DOCUMENT.json_schema(by_alias=True),
    }
    return schema


def json_schema_text() -> str:
    """Returns the JSON Schema as indented text."""
    return json.dumps(json_schema(), indent=2)


def _keys(root: Mapping[str, Any], path: Place) -> set[str]:
    """The keys that a document of this schema may have at a place."""
    schemas: list[Mapping[str, Any]] = [{"$ref": root["$ref"]} if "$ref" in root else root]
    for step in (None, *path):
        stepped = schemas if step is None else [_step(schema, step) for schema in schemas]
        schemas = [leaf for schema in stepped for leaf in _leaves(root, schema)]
    return {name for schema in schemas for name in schema.get("properties", {})}


def _step(schema: Mapping[str, Any], step: str | int) -> Mapping[str, Any]:
    found = schema.get("items", {}) if isinstance(step, int) else schema.get("properties", {}).get(step, {})
    return found if isinstance(found, dict) else {}


def _leaves(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _leaves(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    for form in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _leaves(root, form)
    if "properties" in schema or "items" in schema:
        yield schema
