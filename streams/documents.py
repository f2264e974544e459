"""Configuration documents out of files: YAML or JSON, several a file, directories, every error with its line and column."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from schemas.documents import DOCUMENT, KINDS
from schemas.documents.base import Base

SUFFIXES = (".yaml", ".yml", ".json")
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


class Unreadable(Exception):
    """Files that hold no valid documents; one line a problem: `file:line:column: what and how to fix it`."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


@dataclass(frozen=True)
class Source:
    """One document as it stands in a file."""

    file: str
    node: Any
    line: int = 1
    column: int = 1

    def data(self) -> Any:
        """Returns the document as plain data."""
        return plain(self.node)

    def explain(self, problem: Problem) -> str:
        """Returns a problem with the file, line and column of the place it is about."""
        line, column = self._place(problem.path)
        return f"{self.file}:{line}:{column}: {problem}"

    def _place(self, path: Place) -> tuple[int, int]:
        node, found = self.node, (self.line, self.column)
        for step in path:
            if isinstance(node, CommentedMap) and step in node:
                line, column = node.lc.key(step)
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                line, column = node.lc.item(step)
            else:
                break
            node, found = node[step], (line + 1, column + 1)
        return found


def read(paths: Iterable[Path]) -> list[Source]:
    """Returns the documents of files and directories (all .yaml, .yml and .json below them, by name), in order.

    Raises:
        Unreadable: a path does not exist, holds nothing, or is no YAML.

    """
    sources: list[Source] = []
    lines: list[str] = []
    for path in paths:
        for file in _files(path):
            try:
                sources += parse(file.read_text(), str(file))
            except Unreadable as error:
                lines += error.lines
            except (OSError, UnicodeDecodeError) as error:
                lines.append(f"{file}: cannot be read: {error}")
    if lines:
        raise Unreadable(lines)
    return sources


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise Unreadable([f"{path}: holds no {', '.join(SUFFIXES)} files"])
    yield from found


def parse(text: str, file: str) -> list[Source]:
    """Returns the documents in a text; a list counts as several.

    Raises:
        Unreadable: the text is no YAML (JSON is YAML too).

    """
    yaml = YAML(typ="rt")
    readable = text.replace("\t", " ") if file.endswith(".json") else text  # a JSON string holds no bare tab
    try:
        nodes = [node for node in yaml.load_all(readable) if node is not None]
    except YAMLError as error:
        raise Unreadable([_syntax(error, file)]) from error
    return [source for node in nodes for source in _sources(node, file)]


def _sources(node: Any, file: str) -> Iterator[Source]:
    if isinstance(node, CommentedSeq):
        for item in node:
            yield from _sources(item, file)
        return
    line, column = (node.lc.line, node.lc.col) if isinstance(node, CommentedMap) else (0, 0)
    yield Source(file, node, line + 1, column + 1)


def _syntax(error: YAMLError, file: str) -> str:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return f"{file}: {error}"
    mark = error.problem_mark
    problem = re.sub(r"\s+with value .*", ", which stands there twice", str(error.problem), flags=re.DOTALL)
    return f"{file}:{mark.line + 1}:{mark.column + 1}: {problem}"


def plain(node: Any) -> Any:
    """Returns a YAML node as the dictionaries, lists, texts and numbers that JSON knows."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    if node is None or isinstance(node, bool):
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node.isoformat() if isinstance(node, date) else str(node)


def yaml_text(data: Any) -> str:
    """Returns data as YAML; a list as several documents."""
    yaml = YAML(typ="rt")
    yaml.default_flow_style = False
    yaml.width = 120
    out = StringIO()
    yaml.dump_all(data if isinstance(data, list) else [data], out)
    return out.getvalue()


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
        raise Invalid([_problem(data, dict(details)) for details in error.errors(include_url=False)]) from error
    return document


def _kind(data: Mapping[str, Any]) -> Problem:
    if "kind" not in data:
        return Problem((), f"`kind` is missing; there are {', '.join(KINDS)}")
    return Problem(("kind",), f"{data['kind']!r} is no kind{_did_you_mean(str(data['kind']), KINDS)}")


def _problem(data: Mapping[str, Any], error: Mapping[str, Any]) -> Problem:
    path = _path(data, error["loc"])
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key{_did_you_mean(str(path[-1]), _keys(data, path[:-1]))}")
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


def _keys(data: Mapping[str, Any], path: Place) -> set[str]:
    """The keys that a document of this kind may have at a place."""
    schemas: list[Mapping[str, Any]] = [{"$ref": f"#/$defs/{data['kind']}"}]
    for step in (None, *path):
        stepped = schemas if step is None else [_step(schema, step) for schema in schemas]
        schemas = [leaf for schema in stepped for leaf in _leaves(schema)]
    return {name for schema in schemas for name in schema.get("properties", {})}


def _step(schema: Mapping[str, Any], step: str | int) -> Mapping[str, Any]:
    found = schema.get("items", {}) if isinstance(step, int) else schema.get("properties", {}).get(step, {})
    return found if isinstance(found, dict) else {}


def _leaves(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _leaves(json_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    for form in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _leaves(form)
    if "properties" in schema or "items" in schema:
        yield schema
