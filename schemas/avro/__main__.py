"""Writes or checks `schemas/avro/*.avsc` and the golden corpus in `tests/golden/avro`."""

import json
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from schemas.avro import RECORDS, corpus
from schemas.record import Record, avro_schema

ROOT = Path(__file__).parents[2]
FIX = "run `python -m schemas.avro` and commit schemas/avro and tests/golden/avro"


def main(arguments: Sequence[str], root: Path = ROOT, records: Iterable[type[Record]] = RECORDS) -> int:
    """Writes what differs; with `--check` only tells it. Returns 3 when something has to be done, above all by people."""
    checking = "--check" in arguments
    problems = [problem for cls in records for problem in _problems(cls, root, checking)]
    names = {cls.__name__ for cls in records}
    strangers = [path for path in (root / "tests/golden/avro").glob("*") if path.is_dir() and path.name not in names]
    problems += [f"{path.relative_to(root)} belongs to no record of schemas.avro.TOPICS" for path in strangers]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 3 if problems else 0


def _problems(cls: type[Record], root: Path, checking: bool) -> list[str]:  # noqa: FBT001 - ours
    name, golden = cls.__name__, root / "tests/golden/avro"
    known = corpus.versions(golden, name)
    release = _release(root)
    version = corpus.current(cls, known, release, released=_is_out(root, release))
    wrong = [f"{name} must not change like this: {what}; docs/schemas.md" for what in corpus.forbidden(known, version)]
    published = root / "schemas/avro" / f"{name}.avsc"
    text = json.dumps(avro_schema(cls), indent=2) + "\n"
    same = known[-1:] == [version] and published.is_file() and published.read_text() == text
    if wrong or same:
        return wrong
    if checking:
        return [f"{name} is not as its newest version says (version {len(known)}): {FIX}"]
    published.write_text(text)
    corpus.write(golden, name, version)
    return []


def _release(root: Path) -> str:
    """The release that is being worked on."""
    with (root / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _is_out(root: Path, release: str) -> bool:
    """It is when the changelog has a chapter for it."""
    return f"\n## [{release}]" in (root / "CHANGELOG.md").read_text()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
