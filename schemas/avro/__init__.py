"""Our records, the topics that they stand on, and their published Avro schemas: `python -m schemas.avro` writes these, `--check` compares."""

from schemas.alert import AlertChange
from schemas.config import ConfigEntry
from schemas.contents import SpanContents
from schemas.dataset import DatasetItem
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.later import LaterRequest
from schemas.record import Record
from schemas.request import ScoreRequest
from schemas.rule import RuleCondition, RuleEvent, Tick
from schemas.rule_state import RuleState
from schemas.score import Score
from schemas.span import TraceChunk
from schemas.topics import Topic

TOPICS: dict[type[Record], tuple[Topic, ...]] = {
    TraceChunk: (Topic.SPANS,),
    SpanContents: (Topic.SPAN_CONTENTS,),
    Example: (Topic.EXAMPLES,),
    ScoreRequest: (Topic.REQUESTS_CODE, Topic.REQUESTS_HOSTED, Topic.REQUESTS_JUDGE),
    LaterRequest: (Topic.SCORE_LATER,),
    Score: (Topic.SCORES,),
    RuleCondition: (Topic.RULE_CONDITIONS,),
    RuleEvent: (Topic.RULE_EVENTS,),
    Tick: (Topic.RULE_EVENTS, Topic.RULE_CONDITIONS, Topic.SPAN_CONTENTS),
    RuleState: (Topic.RULE_STATE,),
    AlertChange: (Topic.ALERTS,),
    Delivery: (Topic.DELIVERIES,),
    ConfigEntry: (Topic.CONFIG,),
    DatasetItem: (Topic.DATASET_ITEMS,),
}
"""Where each record stands. The first record of a topic is the one that the topic is named for."""

RECORDS = tuple(TOPICS)
