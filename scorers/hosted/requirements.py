"""What an uploaded requirements text may ask for: names, versions, extras and markers, and nothing else that pip would obey."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from scorers.hosted.bundle import OURS

MAX_BYTES = 64 * 1024
MAX_LINES = 200
MAX_LINE = 500

PLAIN = "write plain requirements, one a line, such as `openai` or `pydantic>=2,<3`"


class InvalidRequirements(ValueError):
    """A line asks for what is not allowed; the text names the line and the fix."""


@dataclass(frozen=True)
class Requirements:
    """What is to be installed."""

    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What the uploader should know: a line that something else serves, a package that was added."""


def read(text: str, imports: Collection[str] = ()) -> Requirements:
    """Returns the requirements of a text.

    Args:
        text: as uploaded; comments and empty lines are left out.
        imports: top-level packages that the code imports: `pydantic` is added when it is imported and not asked for.

    Raises:
        InvalidRequirements: with the first line that is not a plain requirement.

    """
    if len(text) > MAX_BYTES:
        raise InvalidRequirements(f"the requirements have {len(text)} characters, at most {MAX_BYTES}")
    found: dict[str, str] = {}
    notes: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw.removesuffix("\r")).strip(" \t")
        if not line:
            continue
        one = _requirement(line, number)
        name = canonicalize_name(one.name)
        if name in OURS:
            notes.append(f"line {number}: {line!r} is served by the sandbox; it is not installed from the index")
        elif name in found:
            raise InvalidRequirements(f"line {number}: {one.name} is asked for twice; keep one line")
        else:
            found[name] = str(one)
    if "pydantic" in imports and "pydantic" not in found:
        found["pydantic"] = "pydantic"
        notes.append("pydantic was added: the file imports it")
    if len(found) > MAX_LINES:
        raise InvalidRequirements(f"there are {len(found)} requirements, at most {MAX_LINES}")
    return Requirements(tuple(found.values()), tuple(notes))


def _requirement(line: str, number: int) -> Requirement:
    shown = line[:100].encode("unicode_escape").decode()
    if len(line) > MAX_LINE or not line.isascii() or not line.isprintable():
        raise InvalidRequirements(f"line {number}: {shown}: {PLAIN}")
    if line.startswith("-"):
        raise InvalidRequirements(f"line {number}: {shown}: options are not taken; {PLAIN}")
    if "\\" in line or "$" in line:
        raise InvalidRequirements(f"line {number}: {shown}: no backslash, no variable; {PLAIN}")
    try:
        one = Requirement(line)
    except InvalidRequirement:
        raise InvalidRequirements(f"line {number}: {shown} is no requirement; {PLAIN}") from None
    if one.url is not None:
        raise InvalidRequirements(f"line {number}: {shown}: packages come from the index alone, not from URLs; {PLAIN}")
    return one
