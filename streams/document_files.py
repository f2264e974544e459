"""Configuration documents out of files: YAML or JSON, several a file, directories, every place with its line and column."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from streams.documents import Place, Problem

SUFFIXES = (".yaml", ".yml", ".json")


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
