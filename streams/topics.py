"""Creates and checks the topics by name, with their configurations."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from schemas.topics import CONFIGS, Topic, TopicConfig
from streams import kafka
from streams.logic import retention
from streams.settings import Settings

log = structlog.get_logger()


RETENTION = ("retention.ms", "segment.ms")
"""What `retain` sets on topics that exist."""
OF_COLLECTORS = ("message.timestamp.type", "max.message.bytes", "cleanup.policy")
"""What has to hold on a Collector's topic; its partitions, and how long it keeps what, are its owner's matter."""
TELL_AFTER_S = 5.0
"""A job that waits for Kafka says so this often."""


@dataclass(frozen=True)
class Finding:
    """Something about a topic that is not as it must be, and what mends it."""

    topic: str
    problem: str
    fix: str
    stops: bool = True
    """A job that reads the topic must not start."""


def wanted(settings: Settings) -> dict[str, TopicConfig]:
    """Returns every topic of this installation by name, with the retention of this installation."""
    kept = retention.parse(settings.retention)
    configs = {topic: kept.of_topic(topic, config) for topic, config in CONFIGS.items()}
    topics = {kafka.topic_name(settings, topic): config for topic, config in configs.items()}
    return {**topics, **dict.fromkeys(settings.otlp_topics, configs[Topic.OTLP_SPANS])}


def create(settings: Settings) -> list[str]:
    """Creates the topics that do not exist yet and returns their names. Existing ones are left as they are.

    Raises:
        KafkaException: the broker refused one.

    """
    admin = kafka.admin(settings)
    present = _present(admin, settings, within_s=30)
    new = [
        NewTopic(name, config.partitions or settings.partitions, settings.replication, config=config.settings())
        for name, config in wanted(settings).items()
        if name not in present
    ]
    for name, future in (admin.create_topics(new, operation_timeout=30) if new else {}).items():
        _created(name, future)
    return [topic.topic for topic in new]


def _created(name: str, future: "object") -> None:
    try:
        future.result(60)  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # two creators at once are harmless
            raise KafkaException(f"topic {name}: {error.args[0].str()}") from error


def retain(settings: Settings) -> list[str]:
    """Gives our topics that exist the retention of this installation and returns the names of those that had another.

    Raises:
        KafkaException: the broker refused one.

    """
    admin, expected = kafka.admin(settings), wanted(settings)
    present = _present(admin, settings, within_s=30)
    actual = _settings(admin, [name for name in expected if name in present and name not in settings.otlp_topics])
    other = {
        name: _retention(expected[name]) for name, has in actual.items() if _differs(_retention(expected[name]), has)
    }
    resources = [_retaining(name, configs) for name, configs in other.items()]
    for resource, future in (admin.incremental_alter_configs(resources) if resources else {}).items():
        try:
            future.result(60)
        except KafkaException as error:
            raise KafkaException(f"topic {resource.name}: {error.args[0].str()}") from error
    _wait_until_shown(admin, other)
    return list(other)


def _wait_until_shown(admin: AdminClient, wanted: dict[str, dict[str, str]]) -> None:
    """The controller acknowledges a change a moment before the brokers show it."""
    end = time.monotonic() + 10
    while wanted and time.monotonic() < end:
        actual = _settings(admin, list(wanted))
        if not any(_differs(configs, actual[name]) for name, configs in wanted.items()):
            return
        time.sleep(0.05)


def _retention(config: TopicConfig) -> dict[str, str]:
    return {key: value for key, value in config.settings().items() if key in RETENTION}


def _differs(wanted: dict[str, str], actual: dict[str, str]) -> bool:
    return any(actual.get(key) != value for key, value in wanted.items())


def _retaining(name: str, configs: dict[str, str]) -> ConfigResource:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in configs.items()]
    return ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)


def check(settings: Settings, topics: Iterable[str] | None = None, within_s: float = 30) -> list[Finding]:
    """Compares topics (all by default) with what they must be.

    Raises:
        KafkaException: the brokers do not answer `within_s`.

    """
    admin, expected = kafka.admin(settings), wanted(settings)
    names = list(topics or expected)
    present = _present(admin, settings, within_s)
    findings = [Finding(name, "does not exist", "run `vedette topics`") for name in names if name not in present]
    existing = [name for name in names if name in present]
    alike = [name for name in existing if expected[name].partitions is None and name not in settings.otlp_topics]
    counts = {len(present[name].partitions) for name in alike}
    if len(counts) > 1:
        problem = f"have different numbers of partitions ({sorted(counts)})"
        findings.append(Finding(", ".join(alike), problem, "create them anew with one number"))
    for name, actual in _settings(admin, existing).items():
        must = expected[name].settings()
        if name in settings.otlp_topics:
            must = {key: must[key] for key in OF_COLLECTORS}
        findings += _differences(name, must, actual)
    return findings


def _present(admin: AdminClient, settings: Settings, within_s: float) -> dict[str, TopicMetadata]:
    try:
        return admin.list_topics(timeout=within_s).topics
    except KafkaException as error:
        where = f"Kafka at {settings.bootstrap_servers} does not answer within {within_s:g} s"
        raise KafkaException(f"{where}: {error.args[0].str()}") from error


def _settings(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = admin.describe_configs(resources, request_timeout=30)
    results = {resource.name: future.result(30) for resource, future in futures.items()}
    return {name: {key: entry.value for key, entry in entries.items()} for name, entries in results.items()}


def _differences(name: str, wanted: dict[str, str], actual: dict[str, str]) -> list[Finding]:
    found = []
    for key, value in wanted.items():
        if actual.get(key, value) != value:
            by_hand = f"kafka-configs --alter --topic {name} --add-config {key}={value}"
            fix = "run `vedette topics`" if key in RETENTION else by_hand
            found.append(
                Finding(name, f"{key} is {actual[key]}, not {value}", fix, stops=key == "message.timestamp.type")
            )
    return found


def wait_until_ready(settings: Settings, topics: Iterable[str], patience_s: float = 60) -> None:
    """Waits for Kafka as long as it takes and for the topics at most `patience_s`.

    Raises:
        RuntimeError: a topic is missing or is not as it must be; the text names the fix.

    """
    names, deadline = list(topics), None
    while True:
        try:
            problems = [finding for finding in check(settings, names, TELL_AFTER_S) if finding.stops]
        except KafkaException as error:
            log.warning("waiting for Kafka", servers=settings.bootstrap_servers, error=str(error.args[0]))
            time.sleep(1)
            continue
        if not problems:
            return
        deadline = deadline or time.monotonic() + patience_s
        text = "; ".join(f"topic {p.topic}: {p.problem} ({p.fix})" for p in problems)
        if time.monotonic() > deadline:
            raise RuntimeError(text)
        log.warning("waiting for topics", problems=text)
        time.sleep(2)
