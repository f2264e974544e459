"""What stands on the topics now: configuration, rule events with their ticks, alert changes, deliveries."""

from collections.abc import Callable, Iterator

from confluent_kafka import Message, TopicPartition

from schemas.alert import AlertChange
from schemas.codec import Undecodable
from schemas.config import ConfigEntry
from schemas.delivery import Delivery
from schemas.ids import record_key
from schemas.record import Record
from schemas.rule import RuleEvent
from schemas.rule_state import RuleState
from schemas.topics import Topic
from streams import kafka
from streams.cli import reader
from streams.config_feed import ConfigFeed
from streams.count import Count
from streams.logic.configuration import Configuration
from streams.logic.rules import Step
from streams.records import Received
from streams.settings import Settings

Wanted = Callable[[bytes], bool]
"""Whether the key of a record is of interest: asked before the record is read."""


class Refold:
    """Folds recorded rule events as the counter did, by the counter: partition by partition, in offset order, ticks included."""

    def __init__(self, settings: Settings, configuration: Configuration) -> None:
        self._count, self._configuration = Count(settings, ConfigFeed(settings)), configuration
        self.refused = 0
        """Events that the counter could not handle either: they are dead letters."""

    def take(self, received: Received) -> list[tuple[bytes, Step]]:
        """Folds one event or tick and returns the steps that it caused, by the key of their rule and group."""
        try:
            return self._count.fold(received, self._configuration)
        except Undecodable:
            self.refused += 1
            return []

    def state(self, key: bytes) -> RuleState | None:
        """Returns where a rule and group stands now."""
        return next((state for states in self._count.states.values() if (state := states.get(key))), None)


class Topics:
    """Reads topics to the end that they have when they are asked for. Raises as `reader.to_the_end` does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._decoder = reader.Decoder(settings)

    def __enter__(self) -> "Topics":
        return self

    def __exit__(self, *error: object) -> None:
        self._decoder.close()

    def refold(self, configuration: Configuration) -> Refold:
        """Returns a fold that has seen nothing yet."""
        partitions = len(reader.partitions(self.settings, Topic.RULE_EVENTS))
        return Refold(self.settings.model_copy(update={"partitions": partitions}), configuration)

    def configuration(self) -> Configuration:
        """Returns every version of every document."""
        found = Configuration()
        for received in self._records(Topic.CONFIG, ConfigEntry):
            found.apply(received.of(ConfigEntry), received.timestamp_ms)
        return found

    def rule_events(self, wanted: Wanted, since_ms: int = 0) -> Iterator[Received]:
        """Yields events under the keys that are wanted, and all ticks, up to what the counter has committed."""
        ends = self._committed("count", Topic.RULE_EVENTS)
        for received in self._records(Topic.RULE_EVENTS, RuleEvent, wanted, since_ms):
            if received.offset < ends.get(received.partition, 0):
                yield received

    def alert_changes(self, wanted: Wanted, since_ms: int = 0) -> Iterator[Received]:
        """Yields alert changes under the keys that are wanted; one that was sent again comes again."""
        return self._records(Topic.ALERTS, AlertChange, wanted, since_ms)

    def deliveries(self, wanted: Wanted) -> Iterator[Received]:
        """Yields the states of the ledger under the keys that are wanted."""
        return self._records(Topic.DELIVERIES, Delivery, wanted)

    def is_whole(self, topic: Topic) -> bool:
        """Tells whether the topic still holds everything that was ever written to it."""
        consumer, name = kafka.consumer(self.settings, kafka.group_name(self.settings, "commands")), self._name(topic)
        try:
            partitions = consumer.list_topics(name, timeout=reader.ANSWER_S).topics[name].partitions
            places = [TopicPartition(name, number) for number in partitions]
            return not any(consumer.get_watermark_offsets(place, timeout=reader.ANSWER_S)[0] for place in places)
        finally:
            consumer.close()

    def _committed(self, job: str, topic: Topic) -> dict[int, int]:
        consumer = kafka.consumer(self.settings, kafka.group_name(self.settings, job))
        name = self._name(topic)
        try:
            partitions = consumer.list_topics(name, timeout=reader.ANSWER_S).topics[name].partitions
            places = [TopicPartition(name, number) for number in partitions]
            return {p.partition: p.offset for p in consumer.committed(places, timeout=reader.ANSWER_S)}
        finally:
            consumer.close()

    def _name(self, topic: Topic) -> str:
        return kafka.topic_name(self.settings, topic)

    def _records(
        self, topic: Topic, cls: type[Record], wanted: Wanted = lambda _: True, since_ms: int = 0
    ) -> Iterator[Received]:
        for message in reader.to_the_end(self.settings, topic, since_ms):
            key = message.key()
            if key is None or (message.value() is not None and wanted(key)):
                yield self._received(topic, cls, message)

    def _received(self, topic: Topic, cls: type[Record], message: Message) -> Received:
        record = None if message.key() is None else self._decoder.record(cls, message)
        return Received(
            topic,
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            message.key(),
            b"",
            {},
            record,
        )


def of_rule(project: str, rule: str) -> Wanted:
    """Returns what wants the records of one rule: keys begin with [project, rule."""
    prefix = record_key(project, rule)[:-1] + b","
    return lambda key: key.startswith(prefix)
