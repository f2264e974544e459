"""How long topics and tables keep what, by one setting."""

import pytest

from schemas.topics import CONFIGS, DAY_MS, Topic
from streams.logic.retention import DEFAULT, HOUR_MS, OF_TOPICS, parse


def kept(text: str) -> dict[Topic, int]:
    return {topic: parse(text).of_topic(topic, config).retention_ms for topic, config in CONFIGS.items()}


def test_what_is_left_out_is_as_by_default() -> None:
    assert parse("") == parse(DEFAULT)
    assert parse("spans=30d").days() == {"spans": 30, "scores": 90, "alerts": 400}


def test_by_default_topics_keep_what_they_were_made_to_keep() -> None:
    assert kept(DEFAULT) == {topic: config.retention_ms for topic, config in CONFIGS.items()}


def test_a_topic_keeps_nothing_longer_than_its_table_and_never_longer_than_it_needs() -> None:
    shorter, longer = kept("spans=2d,scores=5d,alerts=9d"), kept("spans=300d,scores=300d,alerts=900d")
    assert (shorter[Topic.SPANS], shorter[Topic.SCORES], shorter[Topic.ALERTS]) == (2 * DAY_MS, 5 * DAY_MS, 9 * DAY_MS)
    assert longer == kept(DEFAULT)


def test_topics_without_a_table_keep_what_is_asked() -> None:
    asked = kept("raw=6h,dlq=90d")
    assert (asked[Topic.OTLP_SPANS], asked[Topic.DLQ]) == (6 * HOUR_MS, 90 * DAY_MS)


def test_what_is_state_is_kept_for_ever_whatever_is_asked() -> None:
    state = {topic for topic, config in CONFIGS.items() if config.retention_ms == -1}
    assert state.isdisjoint(OF_TOPICS)
    assert {kept("spans=1d,scores=1d,alerts=1d,raw=1h,dlq=1h")[topic] for topic in state} == {-1}
    assert set(CONFIGS) == state | set(OF_TOPICS)


def test_a_segment_is_no_longer_than_an_eighth_of_what_is_kept() -> None:
    """Kafka forgets whole segments: a segment of a week would keep its first record for two."""
    for text in (DEFAULT, "raw=1h,spans=1d"):
        configs = {topic: parse(text).of_topic(topic, CONFIGS[topic]) for topic in OF_TOPICS}
        assert all(int(c.extra["segment.ms"]) <= max(c.retention_ms // 8, 600_000) for c in configs.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("spams=3d", "'spams=3d' is no retention; write for example raw=3d,"),
        ("spans", "'spans' is no retention"),
        ("spans=soon", "'soon' is no duration"),
        ("spans=36h", "spans=36h: tables keep whole days, at least 1d; write spans=1d"),
        ("spans=0d", "write spans=1d"),
        ("raw=10m", "raw=10m: topics keep at least 1h, not 10m"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)
