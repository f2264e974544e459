"""Sends what is pending on `vedette.deliveries`: the second stage of `deliver`.

The owner of a partition first reads it from its beginning to its end, then runs one task per destination. Every outcome is written to the
ledger and acted upon only when it was read back: what is in memory is the fold of the log and nothing else.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.codec import Schemas, Undecodable, UnknownSchema, encode
from schemas.delivery import Delivery
from schemas.topics import Topic
from streams import kafka, observe, schema_topic
from streams.logic import delivery as deliveries
from streams.logic.ledger import Ledger, Place
from streams.settings import Settings

log = structlog.get_logger()

JOB = "deliver-send"
GRACE_S = 8.0
"""What is being sent may end within this time when a partition is given up or the job ends."""
LOOK_AGAIN_S = 60
SWEEP_S = 60.0
REVIEW_S = 1.0
"""So often is looked whether what keeps an entry quiet has ended."""
BATCH = 1000
_HOPELESS = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)

R = TypeVar("R")


class Tell(Protocol):
    """Whoever tells entries and decides about them; the ledger is written by the sender."""

    async def __call__(self, entry: Delivery, ledger: Ledger) -> tuple[Sequence[Delivery], float]:
        """Tells an entry; returns the next states of what that settled, entries of other destinations first, and the pause asked for."""
        ...

    async def review(self, held: Sequence[Delivery]) -> Sequence[Delivery]:
        """Returns the next states of entries that are kept quiet, as far as they change."""
        ...


@dataclass
class Owned:
    """A partition of ours: its ledger, and the tasks that tell its destinations."""

    number: int
    ledger: Ledger = field(default_factory=Ledger)
    read_to: int = 0
    """The offset after the newest record in the ledger."""
    live: bool = False
    """Read to its end: sending may begin."""
    leaving: bool = False
    tasks: dict[Place | None, asyncio.Task[None]] = field(default_factory=dict)
    """By destination; None: the keeper."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Tells everybody who waits that something changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait(self, seconds: float) -> None:
        """Waits for a change, at most for `seconds`."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return


class Sender:
    """Runs in a thread of its own. `on_end` is called when it ends, by `stop` or by an error, which `error` then holds."""

    def __init__(self, settings: Settings, tell: Tell, on_end: Callable[[], None] = lambda: None) -> None:
        self.error: BaseException | None = None
        self._settings = settings
        self._tell = tell
        self._on_end = on_end
        self._topic = kafka.topic_name(settings, Topic.DELIVERIES)
        self._owned: dict[int, Owned] = {}
        self._schemas = Schemas()
        self._schema_topic = schema_topic.SchemaTopic(settings, self._schemas)
        self._stopping, self._closed = threading.Event(), threading.Event()
        self._reader = ThreadPoolExecutor(1, "ledger")
        self._thread = threading.Thread(target=self._run, daemon=True, name="send")

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Lets what is being sent end, gives the partitions up and returns."""
        self._stopping.set()
        self._thread.join(3 * GRACE_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:  # the job ends with it: see `deliver.main`
            log.exception("sending ends")
            self.error = error
        finally:
            self._on_end()

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(64))  # name look-ups that hang must not hold back others
        self._producer: Producer = kafka.producer(self._settings)
        await self._in_reader(schema_topic.publish, self._settings, self._producer, Delivery)
        threading.Thread(target=self._serve_acks, daemon=True, name="acks").start()
        self._consumer: Consumer = kafka.consumer(
            self._settings, kafka.group_name(self._settings, JOB), **{"enable.partition.eof": True}
        )
        self._partitions = len(
            (await self._in_reader(self._consumer.list_topics, self._topic)).topics[self._topic].partitions
        )
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not self._stopping.is_set():
                await self._turn()
        finally:
            await self._leave(list(self._owned), GRACE_S)
            await self._in_reader(self._consumer.close)
            await self._in_reader(self._producer.flush, GRACE_S)
            self._closed.set()
            self._schema_topic.close()

    async def _turn(self) -> None:
        messages = await self._in_reader(self._read)
        for message in messages:
            await self._take(message)
        read = {message.partition() for message in messages}
        for owned in self._owned.values():
            if owned.number in read:
                owned.wake()
            if owned.live:
                self._serve(owned)

    def _read(self) -> list[Message]:
        first = self._consumer.poll(0.5)
        return [] if first is None else [first, *self._consumer.consume(BATCH, timeout=0)]

    async def _take(self, message: Message) -> None:
        error, owned = message.error(), self._owned.get(message.partition() or 0)
        if error is not None:
            self._note(error, owned)
            return
        if owned is None:
            return
        try:
            owned.ledger.apply(message.key() or b"", await self._decoded(message.value()))
        except Undecodable as problem:  # it would be met at every start: it stays where it is
            observe.DEAD_LETTERS.labels(JOB, str(Topic.DELIVERIES), type(problem).__name__).inc()
            log.error("ledger record skipped", partition=owned.number, offset=message.offset(), error=str(problem))
        owned.read_to = (message.offset() or 0) + 1
        observe.RECORDS.labels(JOB, message.topic()).inc()

    def _note(self, error: KafkaError, owned: Owned | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            self._at_end(owned)
        elif error.fatal() or error.code() in _HOPELESS:
            raise KafkaException(error)
        else:
            log.warning("Kafka", error=error.str())

    def _at_end(self, owned: Owned | None) -> None:
        if owned is not None and not owned.live:
            owned.live = True
            log.info("ledger read", partition=owned.number, entries=len(owned.ledger.entries))

    async def _decoded(self, value: bytes | None) -> Delivery | None:
        if value is None:
            return None
        try:
            return self._schemas.decode(Delivery, value)
        except UnknownSchema as unknown:
            await self._in_reader(self._schema_topic.wait_for, unknown)
            return self._schemas.decode(Delivery, value)

    def _serve(self, owned: Owned) -> None:
        """Sees to it that every destination with something pending has its task; a task that failed ends the job."""
        for place, task in list(owned.tasks.items()):
            if task.done():
                del owned.tasks[place]
                task.result()
        for place in owned.ledger.places():
            if place not in owned.tasks:
                owned.tasks[place] = asyncio.create_task(self._tell_all(owned, place))
        if None not in owned.tasks:
            owned.tasks[None] = asyncio.create_task(self._keep(owned))

    async def _tell_all(self, owned: Owned, place: Place) -> None:
        """Tells a destination one thing after the other, until nothing is pending there."""
        free_at = 0.0
        while not owned.leaving and (entry := owned.ledger.next(place)) is not None:
            wait_s = max(deliveries.wait_s(entry, time.time_ns() // 1_000_000), free_at - time.monotonic())
            if wait_s > 0:
                await owned.wait(min(wait_s, LOOK_AGAIN_S))  # what comes meanwhile may be due earlier, and clocks step
                continue
            outcomes, pause_s = await self._tell(entry, owned.ledger)
            free_at = time.monotonic() + min(pause_s, deliveries.LONGEST_RETRY_AFTER_MS / 1000)
            await self._record_all(owned, outcomes)

    async def _keep(self, owned: Owned) -> None:
        """Writes again what compaction would lose, what ends the quiet, and tombstones for what is over for long."""
        swept_at = time.monotonic()
        while not owned.leaving:
            for key in list(owned.ledger.unsettled):
                await self._record(owned, key, owned.ledger.entries.get(key))
            if time.monotonic() - swept_at > SWEEP_S:
                swept_at = time.monotonic()
                for key in owned.ledger.expired(time.time_ns() // 1_000_000):
                    await self._record(owned, key, None)
            held = owned.ledger.held()
            await self._record_all(owned, await self._tell.review(held) if held else ())
            await owned.wait(REVIEW_S if held else SWEEP_S)

    async def _record_all(self, owned: Owned, outcomes: Sequence[Delivery]) -> None:
        """Writes what was decided: what another destination is to tell before what says so."""
        for outcome in outcomes:
            partition = deliveries.partition(outcome, self._partitions)
            if partition != owned.number:
                await self._write(partition, deliveries.key(outcome), outcome)
        own = [one for one in outcomes if deliveries.partition(one, self._partitions) == owned.number]
        await asyncio.gather(*(self._record(owned, deliveries.key(one), one) for one in own))

    async def _record(self, owned: Owned, key: bytes, entry: Delivery | None) -> None:
        """Writes to the ledger and returns when the record was acknowledged and read back."""
        offset = await self._write(owned.number, key, entry)
        while owned.read_to <= offset and not owned.leaving:
            await owned.wait(1)

    def _write(self, partition: int, key: bytes, entry: Delivery | None) -> asyncio.Future[int]:
        acknowledged: asyncio.Future[int] = self._loop.create_future()

        def settle(error: KafkaError | None, offset: int | None) -> None:
            if acknowledged.done():  # its task was cancelled
                return
            if error is None:
                acknowledged.set_result(offset or 0)
            else:
                acknowledged.set_exception(KafkaException(error))

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            self._loop.call_soon_threadsafe(settle, error, message.offset())

        value = None if entry is None else encode(entry)
        headers: list[tuple[str, str | bytes | None]] = (
            [] if entry is None else [("vedette-project", entry.project.encode())]
        )
        self._producer.produce(
            self._topic, key=key, value=value, headers=headers, partition=partition, on_delivery=on_delivery
        )
        return acknowledged

    def _serve_acks(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.2)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Reads from the beginning whatever was committed: the ledger is state, not a queue."""
        for partition in partitions:
            self._owned[partition.partition] = Owned(partition.partition)
        where = [TopicPartition(self._topic, p.partition, OFFSET_BEGINNING) for p in partitions]
        consumer.incremental_assign(where)
        log.info("ledger partitions assigned", partitions=[p.partition for p in partitions])

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Runs in the reader's thread, while the event loop is free to let the tasks end."""
        leave = self._leave([p.partition for p in partitions], GRACE_S)
        asyncio.run_coroutine_threadsafe(leave, self._loop).result()

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        leave = self._leave([p.partition for p in partitions], 0)
        asyncio.run_coroutine_threadsafe(leave, self._loop).result()

    async def _leave(self, partitions: Iterable[int], grace_s: float) -> None:
        """Ends the tasks of partitions before they are given up: nobody else may tell what they are telling."""
        leaving = [owned for number in partitions if (owned := self._owned.pop(number, None))]
        for owned in leaving:
            owned.leaving = True
            owned.wake()
        tasks = [task for owned in leaving for task in owned.tasks.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_reader(self, call: Callable[..., R], *arguments: object) -> R:
        """Everything that blocks on Kafka runs in one thread: the consumer is used by one at a time."""
        return await self._loop.run_in_executor(self._reader, call, *arguments)
