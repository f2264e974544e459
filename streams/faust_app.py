"""The one Faust job: records into agents, acks in offset order, an end with noise when it stands still.

Faust commits past in-flight offsets and acks events whose agent raised. So every event is taken with `noack()`, its body never
raises, and it is acked by us: in offset order per partition, from callbacks, once everything that it caused is acknowledged by the
broker.
"""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import faust
import structlog
from confluent_kafka import KafkaException
from faust.types import TP, AppT, EventT

from schemas.codec import Schemas, Undecodable, UnknownSchema
from schemas.record import Record
from schemas.topics import Topic
from sinks.sink import Transient
from streams import garbage, kafka, observe, schema_topic, topics
from streams.async_producer import AsyncProducer
from streams.config_feed import ConfigFeed
from streams.faust_acks import RESTART, Acks
from streams.faust_settings import faust_app
from streams.logic.configuration import Configuration
from streams.logic.offsets import InFlight
from streams.records import Out, Reads, Received, dead_letter, too_many_unreadable
from streams.settings import Settings

log = structlog.get_logger()

Handler = Callable[[Received], Awaitable[list[Out]]]
Parts = Callable[[Received], list[Received]]

WEDGED_AFTER_S = 120
"""A worker that has had no partition to work on, or is still recovering, for this long starts again."""


class FaustJob:
    """A job whose agents are Faust's: `each` names what happens with every record of a topic, `run` is the process."""

    def __init__(
        self, job: str, settings: Settings, reads: Reads, writes: tuple[type[Record], ...], **further: Any
    ) -> None:
        self.job, self.settings, self.reads, self.writes = job, settings, reads, writes
        self.app = faust_app(job, settings, **further)
        self.health = observe.Health(wedged_after_s=WEDGED_AFTER_S)
        self.acks = Acks()
        self._feed = ConfigFeed(settings)
        self._schemas = Schemas()
        self._schema_topic = schema_topic.SchemaTopic(settings, self._schemas)
        self._reading = threading.Lock()
        self._producer: AsyncProducer | None = None
        self._unreadable_in_a_row = 0
        self._around: AbstractAsyncContextManager[Any] | None = None
        self._entered, self._entering = False, asyncio.Lock()
        self.app.on_partitions_revoked.connect(self._revoked)  # type: ignore[arg-type]
        self.app.timer(1.0)(self._beat)

    def around(self, work: "AbstractAsyncContextManager[Any]") -> None:
        """Enters `work` in the job's loop before the first record, and leaves it at the end; what it raises then ends the process."""
        self._around = work
        self.app.on_before_shutdown.connect(self._leave)

    async def _enter(self) -> None:
        async with self._entering:
            if self._around is None or self._entered:
                return
            try:
                await self._around.__aenter__()
            except Exception as error:
                log.critical("the job ends", error=str(error))
                os._exit(1)
            self._entered = True

    async def _leave(self, *_: Any, **__: Any) -> None:
        if self._around is not None and self._entered:
            await self._around.__aexit__(None, None, None)

    def each(self, topic: Topic, handle: Handler, in_flight: int = 0, parts: Parts | None = None) -> None:
        """Lets `handle` make the records to write of every record of a topic; `in_flight` of them at once if it waits.

        With `parts` a record is divided into several, handled side by side: what each causes is sent as soon as it is made.
        """
        source = self.app.topic(kafka.topic_name(self.settings, topic), key_type=bytes, value_type=bytes)
        room = asyncio.Semaphore(in_flight) if in_flight else None
        tasks: set[asyncio.Task[None]] = set()

        def finished(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            room.release() if room else None

        async def agent(stream: Any) -> None:
            await self._enter()
            async for event in stream.noack().events():
                entry = await self.acks.start(event)
                if room is None:
                    await self._handle(topic, entry, handle, parts)
                    continue
                await room.acquire()
                task = asyncio.create_task(self._handle(topic, entry, handle, parts))
                tasks.add(task)
                task.add_done_callback(finished)

        agent.__name__ = f"{self.job}-{topic.value}"
        self.app.agent(source, name=agent.__name__)(agent)

    async def _handle(self, topic: Topic, entry: InFlight[EventT], handle: Handler, parts: Parts | None) -> None:
        received = raw(topic, entry.event)
        if parts is None:
            sent = [await self._caused(received, handle)]
        else:
            several = await self._divided(received, parts)
            sent = list(await asyncio.gather(*(self._caused(one, handle) for one in several)))
        observe.RECORDS.labels(self.job, topic).inc()
        self.acks.when(entry, [ack for ack in sent if ack is not None])

    async def _caused(self, received: Received, handle: Handler) -> "asyncio.Future[None] | None":
        outs = await self.outcome(received, handle)
        return await self.send(outs) if outs else None

    async def _divided(self, received: Received, parts: Parts) -> list[Received]:
        """The parts of a record; one that cannot be read stays whole, for `outcome` to tell why."""
        try:
            return parts(await self.decoded(received))
        except (Undecodable, UnknownSchema):
            return [received]

    async def send(self, outs: Sequence[Out]) -> "asyncio.Future[None]":
        """Hands records over and returns the future of their acks; ends the process when it cannot: the input is read again."""
        try:
            return await self.producer.send(outs)
        except Exception as error:
            log.critical("a record cannot be sent", error=f"{type(error).__name__}: {error}")
            os._exit(RESTART)

    async def outcome(self, received: Received, handle: Handler) -> list[Out]:
        """Returns what a record causes; what cannot be handled causes a dead letter. Never raises."""
        pause_s = 0.5
        while True:
            try:
                return [out.encoded() for out in await handle(await self.decoded(received))]
            except (Transient, UnknownSchema) as failure:
                observe.RETRIES.labels(self.job).inc()
                pause_s = min(pause_s * 2, 30)
                log.warning("will try again", reason=str(failure), seconds=pause_s)
                await asyncio.sleep(pause_s)
            except Exception as error:  # a body that raises would be acked by Faust
                return [dead_letter(self.job, received, error)]

    async def decoded(self, received: Received) -> Received:
        """Returns the record read by its writer's schema."""
        cls = self.reads[received.topic]
        if cls is None or received.record is not None:
            return received
        try:
            record = await self._record(cls, received)
        except Undecodable as error:
            self._count_unreadable(received, error)
            raise
        self._unreadable_in_a_row = 0
        return received.with_record(record)

    async def _record(self, cls: type[Record], received: Received) -> Record:
        try:
            return self._schemas.decode(cls, received.value, received.schema_frame)
        except UnknownSchema as unknown:
            await asyncio.to_thread(self.learn, unknown)
            return self._schemas.decode(cls, received.value, received.schema_frame)

    def _count_unreadable(self, received: Received, error: Undecodable) -> None:
        self._unreadable_in_a_row += 1
        if self._unreadable_in_a_row >= self.settings.dlq_limit:
            log.critical("the job ends", error=too_many_unreadable(self._unreadable_in_a_row, received, error))
            os._exit(1)

    def learn(self, unknown: UnknownSchema) -> None:
        """Waits until the schema is known. Blocks."""
        with self._reading:
            self._schema_topic.wait_for(unknown)

    async def configuration(self) -> Configuration:
        """Returns the configuration once it is certain that nothing in effect is missing from it."""
        if self._feed.is_fresh():
            return self._feed.configuration
        return await asyncio.to_thread(self._feed.confirmed)

    @property
    def known(self) -> Configuration:
        """The configuration as read so far: for what is looked up at the time of use."""
        return self._feed.configuration

    @property
    def producer(self) -> AsyncProducer:
        """The producer of this job, made on first use because it belongs to the running loop."""
        if self._producer is None:
            self._producer = AsyncProducer(self.settings, self.job)
        return self._producer

    def run(self) -> None:
        """Runs the job as a process until SIGTERM."""
        observe.configure_logs(self.settings, self.job)
        observe.serve(self.settings, self.health)
        garbage.look_seldom()
        names = [kafka.topic_name(self.settings, topic) for topic in (*self.reads, Topic.DLQ)]
        try:
            topics.wait_until_ready(self.settings, names)
            self._feed.start()
            schema_topic.publish(self.settings, kafka.producer(self.settings), *self.writes)
        except (RuntimeError, KafkaException) as error:
            log.error("the job ends", error=str(error))
            raise SystemExit(1) from None
        threading.Thread(target=self._watch, daemon=True, name="watch").start()
        worker = faust.Worker(
            self.app, quiet=True, loglevel=self.settings.log_level, redirect_stdouts=False, override_logging=False
        )
        worker.execute_from_commandline()

    async def _beat(self) -> None:
        """A worker without a partition is a spare one: it lives. One whose partitions do not flow is recovering, or hangs."""
        owns, flows = bool(self.app.consumer.assignment()), self.app.flow_control.is_active()
        if flows or not owns:
            self.health.turn()
        if flows and owns:
            self.health.ready()
            self._measure()

    def _measure(self) -> None:
        consumer: Any = self.app.consumer
        for tp in consumer.assignment():
            end, committed = consumer.highwater(tp), consumer._committed_offset.get(tp)  # noqa: SLF001 - Faust tells it nowhere else
            if end is not None and committed is not None:
                observe.LAG.labels(self.job, tp.topic, tp.partition).set(max(end - committed, 0))

    def _watch(self) -> None:
        """Ends a process in which Faust stands still without a word: a dead fetcher, a recovery that hangs."""
        while True:
            time.sleep(5)
            if not self.health.live():
                log.critical("Faust stands still", seconds=WEDGED_AFTER_S)
                os._exit(RESTART)

    async def _revoked(self, app: AppT, revoked: Iterable[TP], **_: Any) -> None:  # noqa: ARG002
        self.acks.forget(revoked)


def raw(topic: Topic, event: EventT) -> Received:
    """Returns a Faust event as a record that was read and not yet decoded."""
    message = event.message
    return Received(
        topic=topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round(message.timestamp * 1000),
        key=message.key,
        value=message.value or b"",
        headers=_headers(message.headers),
        record=None,
    )


def _headers(headers: Any) -> Mapping[str, bytes]:
    given = headers.items() if isinstance(headers, Mapping) else headers or ()
    return {name: value or b"" for name, value in given}
