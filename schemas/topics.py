"""Every topic: its key, what it holds, and how Kafka keeps it."""

from dataclasses import dataclass, field
from enum import StrEnum

from schemas.record import MAX_RECORD_BYTES

DAY_MS = 24 * 3600 * 1000


class Topic(StrEnum):
    """The topics by name. A prefix (`VEDETTE_TOPIC_PREFIX`) may stand before each."""

    OTLP_SPANS = "otlp_spans"
    """any key -> raw OTLP ExportTraceServiceRequest, protobuf or JSON. Only the bridge may write it."""
    OTLP_LOGS = "otlp_logs"
    """any key -> raw OTLP ExportLogsServiceRequest, protobuf or JSON. Only the bridge may write it."""
    SPAN_CONTENTS = "vedette.span-contents"
    """[project, trace] -> SpanContents: spans that wait for their content, content that came in log events, spans of whole traces, spans and
    scores that wait for context; no key -> Tick"""
    SPANS = "vedette.spans"
    """[project, trace] -> TraceChunk"""
    EXAMPLES = "vedette.examples"
    """[project, trace or example] -> Example"""
    REQUESTS_CODE = "vedette.score-requests.code"
    """[project, trace or example] -> ScoreRequest for built-in scorers"""
    REQUESTS_HOSTED = "vedette.score-requests.hosted"
    """[project, trace or example] -> ScoreRequest for uploaded scorers"""
    REQUESTS_JUDGE = "vedette.score-requests.judge"
    """[project, trace or example] -> ScoreRequest for prompt scorers"""
    SCORE_LATER = "vedette.score-later"
    """[project, scorer] -> LaterRequest: what cannot be judged now, with the time or the scorer it waits for"""
    SCORES = "vedette.scores"
    """[project, trace or example] -> Score"""
    RULE_CONDITIONS = "vedette.rule-conditions"
    """[project, trace] -> RuleCondition; no key -> Tick"""
    RULE_EVENTS = "vedette.rule-events"
    """[project, rule, [group values]] -> RuleEvent; no key -> Tick"""
    RULE_STATE = "vedette.rule-state"
    """[project, rule, [group values]] -> RuleState, on the same partition as the rule events it was folded from"""
    ALERTS = "vedette.alerts"
    """[project, rule, [group values]] -> AlertChange"""
    DELIVERIES = "vedette.deliveries"
    """[project, destination, alert, change, recipient], partitioned by [project, destination] -> Delivery"""
    CONFIG = "vedette.config"
    """[project or "", kind, name, version] -> ConfigEntry; one partition, kept for ever"""
    SCHEMAS = "vedette.schemas"
    """fingerprint, or frame of a registry's id, in hex -> Avro writer schema as JSON text"""
    DATASET_ITEMS = "vedette.dataset-items"
    """[project, dataset, id] -> DatasetItem"""
    DLQ = "vedette.dlq"
    """as source -> the bytes as they came; headers name job, topic, partition, offset and reason"""


@dataclass(frozen=True)
class TopicConfig:
    """How Kafka keeps a topic."""

    partitions: int | None = None
    """None: the installation's number, equal for every topic that is keyed by trace."""
    retention_ms: int = 7 * DAY_MS
    """-1: for ever"""
    cleanup: str = "delete"
    append_time: bool = False
    """The broker's append time is the record's time: the ingest time, or the time of a tick."""
    extra: dict[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Returns the topic's configuration in Kafka's own names."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "message.timestamp.type": "LogAppendTime" if self.append_time else "CreateTime",
            **self.extra,
        }


COMPACTED = {
    "min.compaction.lag.ms": str(3600 * 1000),  # recovery keeps the newer of two states: both must still be there
    "segment.ms": str(6 * 3600 * 1000),
    "min.cleanable.dirty.ratio": "0.2",
}

CONFIGS: dict[Topic, TopicConfig] = {
    Topic.OTLP_SPANS: TopicConfig(retention_ms=3 * DAY_MS, append_time=True),
    Topic.OTLP_LOGS: TopicConfig(retention_ms=3 * DAY_MS, append_time=True),
    Topic.SPAN_CONTENTS: TopicConfig(append_time=True),
    Topic.SPANS: TopicConfig(),
    Topic.EXAMPLES: TopicConfig(append_time=True),
    Topic.REQUESTS_CODE: TopicConfig(),
    Topic.REQUESTS_HOSTED: TopicConfig(),
    Topic.REQUESTS_JUDGE: TopicConfig(),
    Topic.SCORE_LATER: TopicConfig(append_time=True),
    Topic.SCORES: TopicConfig(retention_ms=30 * DAY_MS, append_time=True),
    Topic.RULE_CONDITIONS: TopicConfig(append_time=True),
    Topic.RULE_EVENTS: TopicConfig(retention_ms=30 * DAY_MS, append_time=True),
    Topic.RULE_STATE: TopicConfig(retention_ms=-1, cleanup="compact", extra=COMPACTED),
    Topic.ALERTS: TopicConfig(retention_ms=30 * DAY_MS, append_time=True),
    Topic.DELIVERIES: TopicConfig(retention_ms=-1, cleanup="compact", extra=COMPACTED),
    Topic.CONFIG: TopicConfig(partitions=1, retention_ms=-1, append_time=True),
    Topic.SCHEMAS: TopicConfig(partitions=1, retention_ms=-1, cleanup="compact"),
    Topic.DATASET_ITEMS: TopicConfig(retention_ms=-1, cleanup="compact", extra=COMPACTED),
    Topic.DLQ: TopicConfig(retention_ms=30 * DAY_MS),
}
