"""An uploaded scorer: one file of Python and its requirements. It is read as text and never imported here."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from schemas.ids import hashed

MAX_CODE_BYTES = 256 * 1024

Kind = Literal["example", "trace"]

OURS = ("vedette", "judgeval")
"""Packages that the sandbox brings itself."""
_BASES: dict[str, tuple[Kind, str]] = {
    "ExampleScorer": ("example", "a_score_example"),
    "TraceScorer": ("trace", "a_score_trace"),
    "Judge": ("example", "score"),
    "ExampleCustomScorer": ("example", "score"),
}
"""What a scorer derives from, by the last part of its name in one of these packages: what it judges, and by which method."""


class InvalidBundle(ValueError):
    """The file cannot be a scorer; the text names the line and the fix."""


@dataclass(frozen=True)
class Found:
    """The scorer class of a file."""

    class_name: str
    kind: Kind
    line: int
    imports: frozenset[str]
    """Top-level packages that the file imports."""


@dataclass(frozen=True)
class Bundle:
    """What was uploaded, as text."""

    code: str
    requirements: str = ""

    @cached_property
    def hash(self) -> str:
        """The content hash, 32 hex digits."""
        return hashed(self.code, self.requirements)


def inspect(code: str) -> Found:
    """Returns the one scorer class of a file, found in its syntax tree.

    Raises:
        InvalidBundle: it has none, several, or is no Python.

    """
    tree = _parse(code)
    statements = list(_top(tree.body))
    names, imports = _imported(statements)
    classes = {node.name: node for node in statements if isinstance(node, ast.ClassDef)}
    based = _based(classes, names)
    derived = {part for name in based for part in _parts(classes[name], classes)}
    leaves = [name for name in based if name not in derived]
    if not leaves:
        raise InvalidBundle(_none(classes))
    if len(leaves) > 1:
        told = ", ".join(f"{name} (line {classes[name].lineno})" for name in leaves)
        raise InvalidBundle(f"there are {len(leaves)} scorers: {told}; upload each in a file of its own")
    (name,) = leaves
    kind, method = _BASES[based[name]]
    if not _defines(name, method, classes):
        raise InvalidBundle(
            f"line {classes[name].lineno}: class {name} has no method {method}: it judges and returns 0 to 1"
        )
    return Found(name, kind, classes[name].lineno, imports)


def _parse(code: str) -> ast.Module:
    try:
        size = len(code.encode())
    except UnicodeEncodeError as error:
        line = code.count("\n", 0, error.start) + 1
        raise InvalidBundle(f"line {line}: the text is no UTF-8; save the file as UTF-8") from None
    if size > MAX_CODE_BYTES:
        raise InvalidBundle(f"the file has {size} bytes, at most {MAX_CODE_BYTES}; put data elsewhere")
    if "\0" in code:
        raise InvalidBundle(f"line {code.count(chr(10), 0, code.index(chr(0))) + 1}: a NUL character; is this Python?")
    try:
        return ast.parse(code)
    except SyntaxError as error:
        raise InvalidBundle(f"line {error.lineno or 1}: {error.msg}: {(error.text or '').strip()[:100]}") from None
    except (RecursionError, MemoryError):
        raise InvalidBundle("the code is nested too deeply to be read") from None
    except ValueError as error:
        raise InvalidBundle(f"this is no Python: {error}") from None


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields what importing the file runs, in its order: also under `if` and `try`, not inside classes and functions."""
    waiting = body[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            handled = [one for handler in getattr(node, "handlers", []) for one in handler.body]
            further = [*node.body, *handled, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            waiting += further[::-1]


def _imported(statements: list[ast.stmt]) -> tuple[dict[str, str], frozenset[str]]:
    """The names that imports bind, with what they stand for, and the packages that they come from."""
    names: dict[str, str] = {}
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names, frozenset(name.partition(".")[0] for name in names.values())


def _based(classes: dict[str, ast.ClassDef], names: dict[str, str]) -> dict[str, str]:
    """The classes that derive from one of ours, directly or through others of the file, each with that one's name."""
    children: dict[str, list[str]] = defaultdict(list)
    found: dict[str, str] = {}
    for name, node in classes.items():
        for dotted in map(_dotted, node.bases):
            if dotted in classes:
                children[dotted].append(name)
            elif base := _ours(dotted, names):
                found[name] = base
    waiting = list(found)
    while waiting:
        parent = waiting.pop()
        new = [child for child in children[parent] if child not in found]
        found |= dict.fromkeys(new, found[parent])
        waiting += new
    return found


def _ours(dotted: str, names: dict[str, str]) -> str:
    """The last part of what a name stands for when it is a base of ours, else nothing."""
    first, _, rest = dotted.partition(".")
    full = names.get(first, first) + (f".{rest}" if rest else "")
    last = full.rpartition(".")[2]
    return last if full.partition(".")[0] in OURS and last in _BASES else ""


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _parts(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[str]:
    return [dotted for dotted in map(_dotted, node.bases) if dotted in classes]


def _defines(name: str, method: str, classes: dict[str, ast.ClassDef]) -> bool:
    waiting, seen = [name], set()
    while waiting:
        one = classes[waiting.pop()]
        if any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == method for n in one.body):
            return True
        seen.add(one.name)
        waiting += [part for part in _parts(one, classes) if part not in seen]
    return False


def _none(classes: dict[str, ast.ClassDef]) -> str:
    there = f"; its classes are {', '.join(sorted(classes))}" if classes else ""
    return (
        "there is no scorer: write `from vedette.scorers import ExampleScorer` and one class that derives from it, "
        f"with `async def a_score_example(self, example)`{there}"
    )
