"""`vedette bridge`: one process that serves HTTP and gRPC in one event loop, one thread that reads the configuration."""

import asyncio
import signal
import sys
import threading
import time
from typing import Any

import structlog
import uvloop
from confluent_kafka import KafkaException
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from schemas.example import Example
from schemas.span import TraceChunk
from schemas.topics import Topic
from streams import kafka, observe, schema_topic, topics
from streams.bridge import grpc
from streams.bridge.admit import Gate
from streams.bridge.examples import Examples
from streams.bridge.forward import Forward
from streams.bridge.http import Bridge
from streams.bridge.judgeval import Judgeval
from streams.bridge.limits import Limits
from streams.bridge.publish import Publisher
from streams.config_feed import ConfigFeed
from streams.settings import Settings

log = structlog.get_logger()

LEAVE_WITHIN_S = 10

LOOK_EVERY_S = 0.5
AWAY_AFTER_S = 5
"""So long after the end of `vedette.config` was last seen, Kafka counts as away: whether a key still holds is not known then either."""


def main(settings: Settings) -> None:
    """Runs the bridge until SIGTERM or SIGINT; leaves with 1 when it cannot go on."""
    observe.configure_logs(settings, "bridge")
    health = observe.Health()
    observe.serve(settings, health)
    try:
        uvloop.run(_Job(settings, Limits(), health).run())
    except (RuntimeError, KafkaException, OSError) as error:
        log.error("the job ends", error=str(error))
        sys.exit(1)


class _Job:
    def __init__(self, settings: Settings, limits: Limits, health: observe.Health) -> None:
        self.settings, self.limits, self.health = settings, limits, health
        self.feed = ConfigFeed(settings)
        self.stopping = asyncio.Event()
        self.failure = ""
        self.prepared = False
        self.kafka_seen_at = float("-inf")

    async def run(self) -> None:
        """Serves at once: until Kafka is there, exporters are told to come again."""
        loop = self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        publisher = Publisher(self.settings, loop, self.limits.ack_s, self._fail_soon)
        bridge = self._bridge(publisher)
        server = self._server(bridge)
        calls = await self._calls(bridge)
        serving = loop.create_task(server.serve())
        serving.add_done_callback(self._ended)
        threading.Thread(target=self._prepare, args=(publisher,), daemon=True, name="start").start()
        log.info(
            "serving",
            url=f"http://{self.settings.host}:{self.settings.otlp_http_port}",
            grpc=f"{self.settings.host}:{self.settings.otlp_grpc_port}" if calls else "",
            waiting_for=self.health.waiting_for,
        )
        beat = loop.create_task(self._beat())
        await self.stopping.wait()
        beat.cancel()
        await self._leave(bridge, server, serving, calls)
        if self.failure:
            raise RuntimeError(self.failure)

    def _bridge(self, publisher: Publisher) -> Bridge:
        configuration = self.feed.configuration
        gate = Gate(configuration, self.limits, time.monotonic)
        return Bridge(
            gate,
            publisher,
            Examples(configuration, self.limits),
            Judgeval(configuration, self.limits, self.settings.public_url),
            Forward(self.settings.api_url),
            self.limits,
            self.health,
        )

    def _server(self, bridge: Bridge) -> Server:
        return Server(
            bridge,
            address=self.settings.host,
            port=self.settings.otlp_http_port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,  # with HTTP/2 allowed, a connection that sends nothing is never closed
            http1_settings=HTTP1Settings(header_read_timeout=int(self.limits.header_s * 1000)),
            websockets=False,
            backpressure=self.limits.connections,
            log_enabled=False,
        )

    async def _calls(self, bridge: Bridge) -> Any:
        """The gRPC server, started; None without a port."""
        if not self.settings.otlp_grpc_port:
            return None
        calls = grpc.server(bridge, self.settings.host, self.settings.otlp_grpc_port)
        await calls.start()
        return calls

    def _prepare(self, publisher: Publisher) -> None:
        """What may take as long as Kafka does."""
        self.health.waiting_for = self._kafka
        try:
            needed = (Topic.OTLP_SPANS, Topic.OTLP_LOGS, Topic.EXAMPLES, Topic.SPANS, Topic.CONFIG, Topic.SCHEMAS)
            topics.wait_until_ready(self.settings, [kafka.topic_name(self.settings, topic) for topic in needed])
            schema_topic.publish(self.settings, publisher.producer, Example, TraceChunk)
            self.feed.start()
        except (RuntimeError, KafkaException) as error:
            self._fail_soon(str(error))
            return
        self.prepared = True

    def _fail_soon(self, reason: str) -> None:
        """For other threads."""
        self._loop.call_soon_threadsafe(self._fail, reason)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.stopping.set()

    def _ended(self, serving: "asyncio.Task[None]") -> None:
        if not self.stopping.is_set():
            error = None if serving.cancelled() else serving.exception()
            self._fail(f"the server ended: {error}")

    async def _beat(self) -> None:
        while True:
            self.health.turn()
            if self.prepared:
                self._look(time.monotonic())
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self, now: float) -> None:
        """Ready while Kafka is there: without it every request would wait for an ack that cannot come."""
        if self.feed.is_fresh():
            self.kafka_seen_at = now
        waiting_for = self._kafka if now - self.kafka_seen_at > AWAY_AFTER_S else ""
        if waiting_for != self.health.waiting_for:
            log.warning("not ready", waiting_for=waiting_for) if waiting_for else log.info("ready")
            self.health.waiting_for = waiting_for

    @property
    def _kafka(self) -> str:
        return f"Kafka at {self.settings.bootstrap_servers}"

    async def _leave(self, bridge: Bridge, server: Server, serving: "asyncio.Task[None]", calls: Any) -> None:
        """What is in flight is answered; whoever comes now is told to come again."""
        bridge.leaving = True
        self.health.waiting_for = "its end"
        deadline = time.monotonic() + LEAVE_WITHIN_S
        closing = asyncio.create_task(calls.stop(LEAVE_WITHIN_S)) if calls else None
        while bridge.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.02)
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait([serving, *([closing] if closing else [])], timeout=2)
        await bridge.forward.close()
        bridge.publisher.close(2)
        log.info("left")
