"""Configuration entries: every version of every document and key, with its time."""

from pydantic import Field

from schemas.record import Record


class ConfigEntry(Record):
    """One version of one document. It takes effect 2 s after Kafka appended it; deletion is a version too."""

    project: str = Field(description="empty for what belongs to the installation")
    kind: str = Field(description="Scorer, Destination, Provider, Rule, Key, ...")
    name: str
    version: str = Field(description="content hash of the spec")
    spec: bytes = Field(default=b"{}", description="the canonical JSON of the spec")
    description: str = ""
    deleted: bool = False
    by: str = ""
