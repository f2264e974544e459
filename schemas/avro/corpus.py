"""The golden corpus: for each record every version of its schema, with a few records as they were written by it.

It stands in `tests/golden/avro/RECORD/N.json`. A version that a release carried stays as it is for ever; until then the newest one follows
the code.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.avro.compatibility import conflicts
from schemas.avro.examples import examples
from schemas.codec import encode
from schemas.record import AvroSchema, Record, avro_schema


@dataclass(frozen=True)
class Version:
    """One version of a record's schema."""

    number: int
    release: str
    """The release that carries it, or will."""
    schema: AvroSchema
    records: tuple[tuple[bytes, Any], ...] = ()
    """Payloads in single-object encoding, each with the JSON of what is in it: bytes as text of characters below 256."""


def versions(folder: Path, name: str) -> list[Version]:
    """Returns the versions of a record, the oldest first."""
    files = sorted((folder / name).glob("*.json"), key=lambda path: int(path.stem))
    return [_read(path) for path in files]


def _read(path: Path) -> Version:
    entry = json.loads(path.read_text())
    records = tuple((bytes.fromhex(record["bytes"]), record["json"]) for record in entry["records"])
    return Version(int(path.stem), entry["release"], entry["schema"], records)


def current(cls: type[Record], known: list[Version], release: str, *, released: bool) -> Version:
    """Returns the version that the code makes: the newest of the known ones anew, or the next if that one is out of our hands.

    `release` is what is being worked on; `released` tells that it is out already.
    """
    schema = avro_schema(cls)
    newest = known[-1] if known else Version(0, "", {})
    frozen = released or newest.release != release
    if frozen and newest.schema == schema:
        return newest
    records = tuple((encode(record), as_json(record)) for record in examples(cls))
    return Version(newest.number + 1 if frozen else newest.number, release, schema, records)


def write(folder: Path, name: str, version: Version) -> None:
    """Writes one version's file."""
    records = [{"bytes": data.hex(), "json": told} for data, told in version.records]
    entry = {"release": version.release, "schema": version.schema, "records": records}
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / f"{version.number}.json").write_text(json.dumps(entry, indent=1, ensure_ascii=False) + "\n")


def as_json(record: Record) -> Any:
    """Returns what is in a record as JSON data, bytes as in Avro's JSON encoding."""
    return json.loads(json.dumps(record.model_dump(), default=lambda data: data.decode("latin-1")))


def forbidden(known: list[Version], version: Version) -> Iterator[str]:
    """Yields what keeps a version apart from the earlier ones that stay."""
    for earlier in known:
        if earlier.number < version.number:
            for conflict in conflicts(earlier.schema, version.schema):
                yield f"{conflict} (version {earlier.number}, release {earlier.release})"
