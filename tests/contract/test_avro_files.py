"""The published Avro schemas are the computed ones, and anybody's Avro library can use them."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest

import schemas.avro
from schemas.avro import RECORDS
from schemas.codec import Schemas, fingerprint_of, schema_text
from schemas.record import Record, avro_schema

FOLDER = Path(schemas.avro.__file__).parent


def published(cls: type[Record]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{cls.__name__}.avsc").read_text())
    return found


@pytest.mark.parametrize("cls", RECORDS)
def test_what_is_published_is_what_is_computed(cls: type[Record]) -> None:
    assert published(cls) == avro_schema(cls)
    assert fingerprint_of(json.dumps(published(cls))) == fingerprint_of(schema_text(cls))


def test_every_record_is_published_and_nothing_else() -> None:
    assert {path.stem for path in FOLDER.glob("*.avsc")} == {cls.__name__ for cls in RECORDS}


def test_the_check_of_the_command_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "schemas.avro", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("cls", RECORDS)
def test_a_stranger_can_write_what_we_read(cls: type[Record]) -> None:
    """From the published file alone, with nothing but an Avro library."""
    schema = fastavro.parse_schema(published(cls))
    least = _least(published(cls))
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, least)
    header = b"\xc3\x01" + bytes.fromhex(str(fastavro.schema.fingerprint(_canonical(cls), "CRC-64-AVRO")))
    record = Schemas().decode(cls, header + body.getvalue())
    assert json.dumps(record.model_dump(), default=bytes.decode) == json.dumps(least, default=bytes.decode)


def _canonical(cls: type[Record]) -> str:
    return str(fastavro.schema.to_parsing_canonical_form(published(cls)))


def _least(record: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: _value(field) for field in record["fields"]}


def _value(field: dict[str, Any]) -> Any:
    """A field's default, or else next to nothing."""
    if field["type"] == "bytes":
        return field.get("default", "").encode("latin-1")
    if "default" in field:
        return field["default"]
    return _least(field["type"]) if isinstance(field["type"], dict) else {"string": "", "long": 0}[field["type"]]


@pytest.mark.parametrize("cls", RECORDS)
def test_every_union_begins_with_null_and_every_enumeration_is_text(cls: type[Record]) -> None:
    """An Avro enum could not grow, and a default has to be of a union's first branch."""
    for kind in _kinds(published(cls)):
        assert kind != "enum"
        assert not isinstance(kind, list) or (kind[0] == "null" and len(kind) == 2)


def _kinds(kind: Any) -> list[Any]:
    found = [kind["type"] if isinstance(kind, dict) else kind]
    if isinstance(kind, list):
        found += [inner for branch in kind for inner in _kinds(branch)]
    if isinstance(kind, dict):
        children = [kind[name] for name in ("items", "values") if name in kind]
        children += [field["type"] for field in kind.get("fields", ())]
        found += [inner for child in children for inner in _kinds(child)]
    return found
