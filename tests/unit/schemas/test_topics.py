"""Topics, and how Kafka keeps them."""

import ast
import inspect
import itertools

import pytest

from schemas import topics
from schemas.record import MAX_RECORD_BYTES
from schemas.topics import CONFIGS, DAY_MS, Topic, TopicConfig

BY_TRACE = {
    Topic.SPANS, Topic.EXAMPLES, Topic.REQUESTS_CODE, Topic.REQUESTS_HOSTED, Topic.REQUESTS_JUDGE, Topic.SCORES,
}  # fmt: skip


def test_every_topic_has_a_configuration_and_no_other() -> None:
    assert set(CONFIGS) == set(Topic)


def test_every_topic_says_what_it_holds_under_which_key() -> None:
    (enum,) = (node for node in ast.parse(inspect.getsource(topics)).body if getattr(node, "name", "") == "Topic")
    assert isinstance(enum, ast.ClassDef)
    said = {
        name.targets[0].id: text.value.value
        for name, text in itertools.pairwise(enum.body)
        if isinstance(name, ast.Assign)
        and isinstance(name.targets[0], ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    assert set(said) == {topic.name for topic in Topic}
    assert all("->" in str(text) for text in said.values())


def test_names_are_ours_except_for_the_one_that_everybody_knows() -> None:
    assert [topic for topic in Topic if not topic.startswith("vedette.")] == [Topic.OTLP_SPANS, Topic.OTLP_LOGS]
    assert str(Topic.OTLP_SPANS) == "otlp_spans"


@pytest.mark.parametrize("config", [*CONFIGS.values()])
def test_every_topic_takes_the_largest_record(config: TopicConfig) -> None:
    settings = config.settings()
    assert settings["max.message.bytes"] == str(MAX_RECORD_BYTES) == str(16 * 1024 * 1024)
    assert all(isinstance(value, str) for value in settings.values())


def test_what_is_keyed_by_trace_has_the_same_number_of_partitions() -> None:
    assert {CONFIGS[topic].partitions for topic in BY_TRACE} == {None}


def test_what_needs_one_order_has_one_partition() -> None:
    assert {topic for topic in Topic if CONFIGS[topic].partitions == 1} == {Topic.CONFIG, Topic.SCHEMAS}


@pytest.mark.parametrize("topic", [Topic.OTLP_SPANS, Topic.EXAMPLES, Topic.RULE_EVENTS, Topic.CONFIG])
def test_the_brokers_clock_decides_ingest_time_silence_and_effect(topic: Topic) -> None:
    assert CONFIGS[topic].settings()["message.timestamp.type"] == "LogAppendTime"


def test_the_raw_is_kept_shortest_and_configuration_for_ever() -> None:
    days = {topic: CONFIGS[topic].retention_ms // DAY_MS for topic in Topic if CONFIGS[topic].retention_ms > 0}
    assert {topic for topic in days if days[topic] == 3} == {Topic.OTLP_SPANS, Topic.OTLP_LOGS}
    assert {topic for topic in days if days[topic] == 30} == {Topic.SCORES, Topic.RULE_EVENTS, Topic.ALERTS, Topic.DLQ}
    assert {days[topic] for topic in days} == {3, 7, 30}
    assert {topic for topic in Topic if CONFIGS[topic].retention_ms == -1} == {
        Topic.CONFIG, Topic.SCHEMAS, Topic.DELIVERIES, Topic.DATASET_ITEMS, Topic.RULE_STATE,
    }  # fmt: skip


def test_every_version_of_the_configuration_stays() -> None:
    assert CONFIGS[Topic.CONFIG].settings()["cleanup.policy"] == "delete"


def test_compaction_leaves_an_hour_in_which_recovery_can_choose_the_newer_state() -> None:
    for config in (CONFIGS[Topic.RULE_STATE], CONFIGS[Topic.DELIVERIES]):
        assert config.settings()["cleanup.policy"] == "compact"
        assert int(config.settings()["min.compaction.lag.ms"]) >= 3_600_000
