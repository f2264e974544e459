"""The one batch loop of the plain jobs: poll, decode, handle, produce, wait for the acks, commit.

A record's offset is committed only after everything that its batch caused has been acknowledged, so a crash repeats work and never
loses any. What cannot be handled goes to `vedette.dlq` with its reason, and the loop goes on.
"""

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import UnknownSchema
from schemas.record import Record
from schemas.topics import Topic
from sinks.sink import Transient
from streams import garbage, kafka, observe, schema_topic, topics
from streams.keeper import Holder, Keeper
from streams.reader import Reader, TooManyUnreadable
from streams.records import Handle, Out, Reads, Received, dead_letter
from streams.settings import Settings
from streams.sync_producer import SyncProducer

log = structlog.get_logger()

BATCH_BYTES = 32 * 1024 * 1024
"""A batch ends here even when it may have more records: memory stays flat while a job catches up."""
STEP = 200
"""Records per call of librdkafka, after which the bytes are counted."""


@dataclass
class Loop:
    """One plain job. `handle` is called with batches of at most `batch` records that came within `wait_s`.

    It may raise `Transient`: the batch is tried again with growing pauses while the job keeps its partitions. Whatever else it raises is
    pinned to one record by halving the batch; that record goes to `vedette.dlq`.
    """

    job: str
    settings: Settings
    reads: Reads
    handle: Handle
    writes: tuple[type[Record], ...] = ()
    keeper: Keeper | None = None
    unread: Collection[Topic] = ()
    """Topics whose records are handed over unread when our own schema wrote them. A batch that is tried again is read in full."""
    held: Callable[[int], int | None] | None = None
    """Returns the offset at which a partition of the one topic has to be read again after a restart, though what follows was handled; None:
    nothing is held. What was handled is handled again then, since it makes the job's state, and what it causes is not written again."""
    holders: Mapping[Topic, Holder] = field(default_factory=dict)
    """In place of `keeper` and `held` where a job reads several topics: the state of each."""
    batch: int = 500
    wait_s: float = 0.005
    patience_s: float = 60
    """How long the topics may be missing at the start."""
    health: observe.Health = field(default_factory=observe.Health)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._reader = Reader(self.job, self.settings, self.reads, self.unread)
        self._topics = self._reader.topics
        self._keepers: Mapping[Topic, Keeper] = self.holders
        if self.keeper:
            self._keepers = dict.fromkeys(self._topics.values(), self.keeper)
        self._kept: set[tuple[Topic, int]] = set()
        self._handled: dict[tuple[Topic, int], int] = {}
        self._polled: list[Message] = []

    def run(self) -> None:
        """Works until `stopping` is set; what is in flight then is finished and committed.

        Raises:
            RuntimeError: the topics are not as they must be, or our own topics hold too much that cannot be read.

        """
        self.wait()
        self._producer = SyncProducer(self.settings, self.job, self.health.turn)
        schema_topic.publish(self.settings, self._producer.producer, *self.writes)
        self._consumer: Consumer = kafka.consumer(
            self.settings,
            kafka.group_name(self.settings, self.job),
            # State is dear to move; without any, each worker gets its share of every topic, not two partitions of a quiet one.
            **{"partition.assignment.strategy": "cooperative-sticky" if self._keepers else "range"},
        )
        self._consumer.subscribe(
            list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        try:
            while not self.stopping.is_set():
                self._turn()
        finally:
            self._consumer.close()
            self._reader.close()

    def wait(self) -> None:
        """Waits for Kafka and for the topics that the job reads.

        Raises:
            RuntimeError: the topics are not as they must be.

        """
        topics.wait_until_ready(self.settings, self._topics, self.patience_s)

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("partitions assigned", partitions=[f"{p.topic}/{p.partition}" for p in partitions])
        if self.held or self.holders:
            committed = self._consumer.committed(partitions, timeout=30)
            self._handled |= {(self._topics[p.topic], p.partition): handled_to(p) for p in committed}
        if self._keepers:
            for topic, partition in self._places(partitions):
                self._keepers[topic].restore(partition)
                self._kept.add((topic, partition))
        self.health.ready()

    def _places(self, partitions: Iterable[TopicPartition]) -> list[tuple[Topic, int]]:
        return [(self._topics[p.topic], p.partition) for p in partitions]

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Called within a poll: what this poll has already brought of these partitions belongs to their new owner."""
        gone = {(p.topic, p.partition) for p in partitions}
        self._polled[:] = [m for m in self._polled if (m.topic(), m.partition()) not in gone]
        if self._keepers:
            for topic, partition in self._places(partitions):
                self._kept.discard((topic, partition))
                self._keepers[topic].release(partition)

    def _turn(self) -> None:
        self.health.turn()
        messages = self._poll()
        for topic, keeper in self._keepers.items() if self._kept else ():
            self._producer.write(keeper.due(sorted(partition for of, partition in self._kept if of is topic)))
        if not messages:
            return
        with observe.BATCH_SECONDS.labels(self.job).time():
            self._process(messages)
            self._commit(messages)
        self._measure(messages)

    def _poll(self) -> list[Message]:
        """The first record wakes us at once; the rest of the batch is what has come by then or comes within `wait_s`."""
        first = self._consumer.poll(0.5)
        self._polled = messages = [first] if first is not None else []
        size, deadline = 0, time.monotonic() + self.wait_s
        while messages and len(messages) < self.batch and size < BATCH_BYTES:
            wanted = min(STEP, self.batch - len(messages))
            more = self._consumer.consume(wanted, timeout=max(deadline - time.monotonic(), 0))
            messages += more
            size += sum(len(message) for message in more)
            if len(more) < wanted:
                break
        return [message for message in messages if self._usable(message)]

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise KafkaException(error)
        log.warning("Kafka", error=error.str())
        return False

    def _process(self, messages: list[Message]) -> None:
        pause_s, in_full = 0.5, False
        while not self.stopping.is_set():
            try:
                before, after = self._parted(messages)
                self._outcome(self._read(before, in_full=in_full)[0])
                batch, unreadable = self._read(after, in_full=in_full)
                self._producer.write([*unreadable, *self._outcome(batch)])
                for keeper in self._keepers.values():
                    self._producer.write(keeper.changed())
                return
            except (Transient, UnknownSchema) as failure:
                observe.RETRIES.labels(self.job).inc()
                pause_s = getattr(failure, "retry_after_s", None) or min(pause_s * 2, 30)
                in_full = True
                log.warning("will try again", reason=str(failure), records=len(messages), seconds=pause_s)
                messages[:] = self._wait(messages, pause_s)
        messages.clear()

    def _parted(self, messages: list[Message]) -> tuple[list[Message], list[Message]]:
        """What was handled before a restart, and what was not."""
        if not self._handled:
            return [], messages
        again = [
            self._handled.get((self._topics[m.topic() or ""], m.partition() or 0), 0) > (m.offset() or 0)
            for m in messages
        ]
        return list(compress(messages, again)), [m for m, before in zip(messages, again, strict=True) if not before]

    def _read(self, messages: Sequence[Message], *, in_full: bool) -> tuple[list[Received], list[Out]]:
        try:
            return self._reader.read(messages, in_full=in_full)
        except TooManyUnreadable as error:
            self._producer.write(error.letters)
            raise

    def _outcome(self, batch: Sequence[Received]) -> list[Out]:
        """Halves a batch that fails until the guilty record stands alone."""
        if not batch:
            return []
        try:
            return [out.encoded() for out in self.handle(batch)]
        except (Transient, UnknownSchema):
            raise
        except Exception as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._outcome(batch[:middle]) + self._outcome(batch[middle:])
            return [dead_letter(self.job, batch[0], error)]

    def _wait(self, messages: list[Message], seconds: float) -> list[Message]:
        """Keeps the partitions while nothing is read, and returns the messages whose partitions are still ours."""
        held = self._consumer.assignment()
        self._consumer.pause(held)
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stopping.is_set():
            self.health.turn()
            message = self._consumer.poll(min(0.5, max(end - time.monotonic(), 0)))
            if message is not None and message.error() is None:  # of a partition assigned meanwhile: it comes again
                self._consumer.seek(
                    TopicPartition(message.topic() or "", message.partition() or 0, message.offset() or 0)
                )
        ours = {(p.topic, p.partition) for p in self._consumer.assignment()}
        self._consumer.resume([p for p in held if (p.topic, p.partition) in ours])
        return [m for m in messages if (m.topic(), m.partition()) in ours]

    def _commit(self, messages: Sequence[Message]) -> None:
        after = {(m.topic() or "", m.partition() or 0): (m.offset() or 0) + 1 for m in messages}
        if not after:
            return
        try:
            offsets = [self._offset(*where, offset) for where, offset in after.items()]
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:  # a rebalance took the partition: its new owner repeats the batch
            log.warning("offsets not committed", error=error.args[0].str())

    def _offset(self, topic: str, partition: int, read_to: int) -> TopicPartition:
        """What is committed: from where to read again, and as its metadata up to where that was handled."""
        place = (self._topics[topic], partition)
        held_of = self.holders[place[0]].held if self.holders else self.held
        if held_of is None:
            return TopicPartition(topic, partition, read_to)
        held = held_of(partition)
        handled = self._handled[place] = max(read_to, self._handled.get(place, 0))
        return TopicPartition(topic, partition, read_to if held is None else held, metadata=str(handled))

    def _measure(self, messages: Sequence[Message]) -> None:
        for topic, count in Counter(message.topic() for message in messages).items():
            observe.RECORDS.labels(self.job, topic).inc(count)
        for partition in self._consumer.position(self._consumer.assignment()):
            _, end = self._consumer.get_watermark_offsets(partition, cached=True)
            if end >= 0 and partition.offset >= 0:
                observe.LAG.labels(self.job, partition.topic, partition.partition).set(max(end - partition.offset, 0))


def handled_to(committed: TopicPartition) -> int:
    """Returns up to which offset a partition was handled; what is held of it is read again from an earlier one."""
    told = committed.metadata or ""
    return max(committed.offset, int(told) if told.isdecimal() else 0)


def run(loop: Loop, before: Callable[[], None] | None = None) -> None:
    """Runs a job as a process: logs, probes, SIGTERM and SIGINT; leaves with 1 when it cannot go on.

    Until the loop turns nothing is in flight: a signal then ends the process at once. `before` waits for what else the job needs, with the probes already answering.
    """
    observe.configure_logs(loop.settings, loop.job)
    observe.serve(loop.settings, loop.health)
    garbage.look_seldom()
    try:
        if before:
            before()
        loop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stopping.set())
        loop.run()
    except (RuntimeError, KafkaException) as error:
        log.error("the job ends", error=str(error))
        sys.exit(1)
