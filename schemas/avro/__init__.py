"""The published Avro schemas of our records: `python -m schemas.avro` writes them, `--check` compares."""

from schemas.alert import AlertChange
from schemas.config import ConfigEntry
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.record import Record
from schemas.request import ScoreRequest
from schemas.rule import RuleCondition, RuleEvent, Tick
from schemas.rule_state import RuleState
from schemas.score import Score
from schemas.span import TraceChunk

RECORDS: tuple[type[Record], ...] = (
    TraceChunk, Example, ScoreRequest, Score, RuleCondition, RuleEvent, Tick, RuleState, AlertChange, Delivery, ConfigEntry, DatasetItem,
)  # fmt: skip
