"""Dataset items."""

from pydantic import Field

from schemas.record import Record
from schemas.subject import SubjectKind


class DatasetItem(Record):
    """One subject in one dataset."""

    project: str
    dataset: str
    item_id: str
    subject_kind: SubjectKind
    subject_id: str
    trace_id: str = ""
    added_by: str = ""
    added_at: int = 0
    fields: bytes = Field(default=b"{}", description="a JSON object")
    removed: bool = False
    removed_at: int = Field(default=0, description="an earlier version of the dataset has it still")
    position: int = Field(default=0, description="among those that were added at once")
