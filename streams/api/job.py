"""The api job as a process."""

import asyncio
import signal
import sys
import threading
from functools import partial

import structlog
import uvloop
from confluent_kafka import KafkaException
from granian.constants import Interfaces
from granian.server.embed import Server

from schemas.documents.base import EnvRef
from schemas.topics import Topic
from sinks.sink import Permanent
from streams import kafka, observe, topics
from streams.api import keys
from streams.api.alerts import AlertFeed
from streams.api.app import application
from streams.api.clicks import Clicks
from streams.api.commands import CommandLog, command
from streams.api.endpoints import ENDPOINTS
from streams.api.judgeval.endpoints import ENDPOINTS as JUDGEVAL
from streams.api.publish import ConfigLog, RecordLog
from streams.api.services import Services
from streams.secret import resolve
from streams.settings import Settings

log = structlog.get_logger()

TOPICS = (Topic.CONFIG, Topic.SCHEMAS, Topic.ALERTS, Topic.DATASET_ITEMS, Topic.EXAMPLES)
"""What it reads and writes."""


class Api:
    """The api with its threads. `start` returns when it can answer; `serve` answers until `stopping` is set."""

    def __init__(self, settings: Settings, health: observe.Health) -> None:
        self._settings = settings
        self._health = health
        self.config = ConfigLog(settings)
        self._records = RecordLog(settings)
        self._feed = AlertFeed(settings)
        self._commands = CommandLog(settings)
        self.stopping = threading.Event()

    def start(self) -> None:
        """Reads the configuration, registers the first admin key and begins to read alerts.

        Raises:
            RuntimeError: topics or the file of the first key are not as they must be.

        """
        topics.wait_until_ready(self._settings, [kafka.topic_name(self._settings, topic) for topic in TOPICS])
        self.config.start()
        self._records.start()
        if self._settings.bootstrap_admin_key_file is not None:
            keys.register_first(self.config, self._settings.bootstrap_admin_key_file)
        self._commands.start()
        self._feed.start()

    async def serve(self) -> None:
        """Answers until `stopping` is set."""
        services = Services(
            self._settings, self.config, self._feed.alerts, self._commands, self._secret_problem, self._records
        )
        server = Server(
            application((*ENDPOINTS, *JUDGEVAL), services),
            address=self._settings.host,
            port=self._settings.api_port,
            interface=Interfaces.ASGINL,
            websockets=False,
            log_enabled=False,
        )
        serving = asyncio.create_task(server.serve())
        clicks = Clicks(
            lambda: self.config.configuration, self._settings, self._feed.alerts, partial(command, services)
        )
        hearing = asyncio.create_task(clicks.run())
        while not self.stopping.is_set() and not serving.done():
            await asyncio.wait([serving], timeout=0.2)
            self._health.turn()
            self._health.ready()
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        server.stop()  # type: ignore[no-untyped-call]
        await serving

    def stop(self) -> None:
        """Ends the threads."""
        self._feed.stop()
        self.config.stop()

    def _secret_problem(self, reference: EnvRef, project: str) -> str | None:
        try:
            resolve(reference, project, self._settings)
        except Permanent as refused:
            return refused.reason
        return None


def main(settings: Settings) -> None:
    """Runs the api until SIGTERM or SIGINT; leaves with 1 when it cannot start."""
    observe.configure_logs(settings, "api")
    health = observe.Health()
    observe.serve(settings, health)
    api = Api(settings, health)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: api.stopping.set())
    try:
        api.start()
        uvloop.run(api.serve())
    except (RuntimeError, KafkaException, OSError) as error:
        log.error("the job ends", error=str(error))
        sys.exit(1)
    finally:
        api.stop()
