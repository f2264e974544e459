"""What any version of a record's schema wrote, every other version reads: by our codec, and by a plain Avro library."""

import io
import json
from itertools import product
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import expand_schema

from schemas.avro import RECORDS
from schemas.avro.corpus import Version, as_json, versions
from schemas.codec import MARKER, Schemas, encode, schema_text
from schemas.record import Record

FOLDER = Path(__file__).with_name("avro")
CORPUS = {cls: versions(FOLDER, cls.__name__) for cls in RECORDS}
WRITTEN = [pytest.param(cls, v, id=f"{cls.__name__}-{v.number}") for cls, known in CORPUS.items() for v in known]
FRAME = len(MARKER) + 8


def as_read(schema: Any, told: Any) -> Any:
    """What a reader with an expanded schema makes of a record's JSON: what it does not know is gone, what is missing its default."""
    if isinstance(schema, list):
        return None if told is None else as_read(schema[1], told)
    if not isinstance(schema, dict):
        return told
    if "fields" in schema:
        fields = {field["name"]: field for field in schema["fields"]}
        return {n: as_read(f["type"], told[n]) if n in told else f["default"] for n, f in fields.items()}
    if "items" in schema:
        return [as_read(schema["items"], one) for one in told]
    return {key: as_read(schema["values"], one) for key, one in told.items()} if "values" in schema else told


def by_fastavro(data: bytes, writer: Version, reader: Version) -> Any:
    read = fastavro.schemaless_reader(io.BytesIO(data[FRAME:]), writer.schema, reader.schema)
    return json.loads(json.dumps(read, default=lambda part: part.decode("latin-1")))


@pytest.mark.parametrize("cls", RECORDS)
def test_every_record_has_its_versions_counted_from_one(cls: type[Record]) -> None:
    assert [version.number for version in CORPUS[cls]] == list(range(1, len(CORPUS[cls]) + 1)) != []
    assert all(len(version.records) >= 3 for version in CORPUS[cls])


@pytest.mark.parametrize(("cls", "version"), WRITTEN)
def test_this_release_reads_what_that_version_wrote(cls: type[Record], version: Version) -> None:
    schemas = Schemas()
    schemas.add(json.dumps(version.schema))
    for data, told in version.records:
        record = schemas.decode(cls, data)
        assert as_json(record) == as_read(expand_schema(json.loads(schema_text(cls))), told)
        assert cls.model_validate(record.model_dump(), strict=True) == record


@pytest.mark.parametrize("cls", RECORDS)
def test_every_version_reads_every_other(cls: type[Record]) -> None:
    for writer, reader in product(CORPUS[cls], repeat=2):
        for data, told in writer.records:
            expected = as_read(expand_schema(reader.schema), told)
            assert by_fastavro(data, writer, reader) == expected, f"version {reader.number} reads {writer.number}"


@pytest.mark.parametrize("cls", RECORDS)
def test_the_newest_version_is_written_byte_for_byte(cls: type[Record]) -> None:
    for data, _ in CORPUS[cls][-1].records:
        assert encode(Schemas().decode(cls, data)) == data


def test_the_corpus_holds_changes() -> None:
    """Else the readers above would read their own writing alone."""
    assert max(len(known) for known in CORPUS.values()) > 1
