"""Records as a job reads them, and a configuration without a topic."""

from collections.abc import Iterable

from pydantic import BaseModel

from schemas.config import ConfigEntry
from schemas.documents.base import canonical_spec, spec_version
from schemas.example import Example
from schemas.record import Record
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams.logic.configuration import Configuration
from streams.records import Received

Document = tuple[str, str, BaseModel]
"""Kind, name, spec."""


def entry(kind: str, name: str, spec: BaseModel, project: str = "default", *, deleted: bool = False) -> ConfigEntry:
    """A document as it stands on `vedette.config`."""
    text = canonical_spec(spec)
    return ConfigEntry(project=project, kind=kind, name=name, version=spec_version(text), spec=text, deleted=deleted)


def configured(*documents: Document, project: str = "default") -> Configuration:
    """A configuration that is in effect 2 s after the beginning of time."""
    return entered((entry(*document, project=project), 0) for document in documents)


def entered(entries: Iterable[tuple[ConfigEntry, int]]) -> Configuration:
    """A configuration of entries, each with the time of its append."""
    configuration = Configuration()
    for one, appended_at in entries:
        configuration.apply(one, appended_at)
    return configuration


def version_of(spec: BaseModel) -> str:
    return spec_version(canonical_spec(spec))


def as_received(topic: Topic, record: Record, at: int = 10_000, key: bytes = b"k") -> Received:
    """A record as the loop hands it over, appended at `at`."""
    return Received(topic, 0, 0, at, key, b"", {}, record)


def chunk_received(chunk: TraceChunk) -> Received:
    return as_received(Topic.SPANS, chunk)


def example_received(example: Example, at: int = 10_000) -> Received:
    return as_received(Topic.EXAMPLES, example, at)


def score_received(score: Score) -> Received:
    return as_received(Topic.SCORES, score)
