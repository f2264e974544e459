"""Examples in files: JSON, JSON Lines, YAML and CSV, told apart by the end of the name.

A file holds a list of objects (JSON and YAML also `{"examples": [...]}`), each with the fields of one example. `example_id`, `created_at` and
`name` describe the example and may be left out. CSV knows texts alone: an empty cell is a field that is not there, and a cell that
is a JSON object or list is read as one.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from vedette.data import Example

Record = dict[str, Any]

WITHOUT_YAML = "YAML files need the package PyYAML, which is not installed: pip install pyyaml"


def read(path: str | Path) -> list[Example]:
    """Returns the examples of a file.

    Raises:
        ValueError: its form is unknown, or it does not hold what it must; the text names the place.
        OSError: it cannot be read.
        ModuleNotFoundError: it is YAML, and PyYAML is not installed.

    """
    file = Path(path)
    load = _form(file.suffix, _LOAD)
    try:
        records = load(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    return [_example(record, f"{file}: example {number}") for number, record in enumerate(records, 1)]


def write(path: str | Path, examples: Sequence[Example]) -> None:
    """Writes examples to a file. Raises as `read` does."""
    file = Path(path)
    dump = _form(file.suffix, _DUMP)
    text = dump([{name: value for name, value in one.to_dict().items() if value is not None} for one in examples])
    file.write_text(text, encoding="utf-8", newline="")


def _form(suffix: str, forms: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    kind = suffix.lower().removeprefix(".").replace("yml", "yaml")
    if kind not in forms:
        raise ValueError(f"{suffix or 'no ending'!r}: there are {', '.join(forms)}")
    return forms[kind]


def _example(record: object, place: str) -> Example:
    if not isinstance(record, dict):
        raise ValueError(f"{place} is {record!r:.80}; it must be an object with the example's fields")
    try:
        return Example.model_validate(record)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _listed(told: object) -> list[Any]:
    found = told.get("examples") if isinstance(told, dict) else told
    if not isinstance(found, list):
        raise ValueError('it must hold a list of examples, or {"examples": [...]}')
    return found


def _from_json(text: str) -> list[Any]:
    return _listed(json.loads(text))


def _to_json(records: list[Record]) -> str:
    return json.dumps({"examples": records}, ensure_ascii=False, indent=2) + "\n"


def _from_jsonl(text: str) -> list[Any]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            found += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return found


def _to_jsonl(records: list[Record]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _from_csv(text: str) -> list[Any]:
    rows = csv.DictReader(StringIO(text, newline=""), restkey="", strict=True)
    try:
        return [{name: _cell(cell) for name, cell in row.items() if name and cell} for row in rows]
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error


def _cell(text: str) -> Any:
    if text[0] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _to_csv(records: list[Record]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))
    text = StringIO(newline="")
    rows = csv.DictWriter(text, names, lineterminator="\n")
    rows.writeheader()
    for record in records:
        rows.writerow(
            {name: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for name, one in record.items()}
        )
    return text.getvalue()


def _from_yaml(text: str) -> list[Any]:
    yaml = _yaml()
    try:
        return _listed(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _to_yaml(records: list[Record]) -> str:
    return str(_yaml().safe_dump({"examples": records}, allow_unicode=True, sort_keys=False))


def _yaml() -> Any:
    """PyYAML, if it is there: the SDK does not depend on it."""
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ModuleNotFoundError(WITHOUT_YAML) from None
    return yaml


_LOAD: Mapping[str, Callable[[str], list[Any]]] = {
    "json": _from_json,
    "jsonl": _from_jsonl,
    "yaml": _from_yaml,
    "csv": _from_csv,
}
_DUMP: Mapping[str, Callable[[list[Record]], str]] = {
    "json": _to_json,
    "jsonl": _to_jsonl,
    "yaml": _to_yaml,
    "csv": _to_csv,
}
