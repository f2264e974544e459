"""How long everything is kept, by one setting: `raw=3d,spans=90d,scores=90d,alerts=400d,dlq=30d`. Pure.

`raw` and `dlq` are topics. The others are tables, and the topics that carry the same: those keep nothing longer than the table
does, and never longer than they need (`schemas/topics.py`). What is state (configuration, ledger, rules, datasets) is none of this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas.documents.base import format_duration, parse_duration
from schemas.topics import DAY_MS, Topic, TopicConfig

HOUR_MS = 3_600_000
SHORTEST_SEGMENT_MS = 600_000
"""Kafka forgets whole segments: one that is written to for a week would keep its first record for a week more."""
DEFAULT = "raw=3d,spans=90d,scores=90d,alerts=400d,dlq=30d"
IN_TABLES = ("spans", "scores", "alerts")

OF_TOPICS: Mapping[Topic, str] = {
    Topic.OTLP_SPANS: "raw",
    Topic.OTLP_LOGS: "raw",
    Topic.SPAN_CONTENTS: "spans",
    Topic.SPANS: "spans",
    Topic.EXAMPLES: "spans",
    Topic.REQUESTS_CODE: "spans",
    Topic.REQUESTS_HOSTED: "spans",
    Topic.REQUESTS_JUDGE: "spans",
    Topic.SCORE_LATER: "spans",
    Topic.RULE_CONDITIONS: "spans",
    Topic.SCORES: "scores",
    Topic.RULE_EVENTS: "scores",
    Topic.ALERTS: "alerts",
    Topic.DLQ: "dlq",
}
"""What the records of a topic are kept like."""


@dataclass(frozen=True)
class Retention:
    """Milliseconds by what is kept."""

    ms: Mapping[str, int]

    def days(self) -> dict[str, int]:
        """Returns the days of what is in tables."""
        return {name: self.ms[name] // DAY_MS for name in IN_TABLES}

    def of_topic(self, topic: Topic, config: TopicConfig) -> TopicConfig:
        """Returns the configuration of a topic with its retention."""
        name = OF_TOPICS.get(topic)
        if name is None:
            return config
        kept = min(config.retention_ms, self.ms[name]) if name in IN_TABLES else self.ms[name]
        segment = {"segment.ms": str(max(kept // 8, SHORTEST_SEGMENT_MS))}
        return replace(config, retention_ms=kept, extra={**config.extra, **segment})


def parse(text: str) -> Retention:
    """Returns what a text such as `raw=1d,spans=30d` says; what it leaves out is as by default.

    Raises:
        ValueError: something in it is unknown, or too short; the text says what and how to write it.
    """
    return Retention(_entries(DEFAULT) | _entries(text))


def _entries(text: str) -> dict[str, int]:
    return dict(_entry(part) for part in text.split(",") if part.strip())


def _entry(part: str) -> tuple[str, int]:
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals or name not in OF_TOPICS.values():
        raise ValueError(f"{part.strip()!r} is no retention; write for example {DEFAULT}")
    ms = parse_duration(value)
    if name in IN_TABLES and (ms < DAY_MS or ms % DAY_MS):
        raise ValueError(f"{name}={value}: tables keep whole days, at least 1d; write {name}={max(ms // DAY_MS, 1)}d")
    if ms < HOUR_MS:
        raise ValueError(f"{name}={value}: topics keep at least 1h, not {format_duration(ms)}")
    return name, ms
