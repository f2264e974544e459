"""The job `watch`: sends a canary every 20 s and pages when a stage does not let it through. Shares nothing with the other jobs."""

import asyncio
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog
from confluent_kafka import KafkaException
from prometheus_client import Counter, Gauge

from sinks.clickhouse.client import ClickHouse, connect
from sinks.sink import Permanent, Transient
from streams import observe
from streams.cli.client import ApiError, Client
from streams.settings import Settings
from streams.watch import pages
from streams.watch.canary import PROJECT, Canary, documents, hatched
from streams.watch.probes import ANSWER_S, Ear, Trail, answered, asked, posted
from streams.watch.stages import BESIDE, STAGES, Incidents, held_up

log = structlog.get_logger()

JOB = "watch"
LOOK_S = 0.25
PAGE_S = 15.0

ROUNDS = Counter("vedette_watch_rounds_total", "Canaries by how they fared", ["result"])
SECONDS = Gauge("vedette_watch_seconds", "How long the newest canary took to a stage", ["stage"])
HELD_UP = Gauge("vedette_watch_held_up", "1 while a stage holds canaries up", ["stage"])

_ROWS = "SELECT count() FROM {ours:Identifier}.spans WHERE project = {project:String} AND trace_id = {trace:String}"


@dataclass
class Watcher:
    """One canary after the other. Nothing that is broken outside ends it."""

    settings: Settings
    key: str
    ear: Ear
    stopping: threading.Event
    incidents: Incidents = field(default_factory=Incidents)
    _clickhouse: ClickHouse | None = None
    _configured: bool = False

    def round(self, canary: Canary) -> set[str]:
        """Sends a canary and returns the stages that let it through in time."""
        began, seen = time.monotonic(), set[str]()
        end = began + self.settings.watch_patience_s
        self._configure()
        trail = Trail(self.settings, canary)
        try:
            for stage in self._passed(trail, canary, end):
                if stage not in seen:
                    SECONDS.labels(stage).set(time.monotonic() - began)
                    seen.add(stage)
                if seen >= STAGES.keys():
                    break
        finally:
            trail.close()
        return seen

    def _passed(self, trail: Trail, canary: Canary, end: float) -> Iterator[str]:
        try:
            trail.begin()
            yield "kafka"
        except KafkaException as error:
            log.warning("Kafka does not answer", error=str(error))
            return
        if why := posted(self.settings.watch_url, self.key, canary):
            log.warning("the bridge took no canary", reason=why)
        else:
            yield "bridge"
        while time.monotonic() < end and not self.stopping.is_set():
            yield from trail.seen(LOOK_S)
            yield from self._beside(canary)

    def _beside(self, canary: Canary) -> Iterator[str]:
        if self.ear.heard(canary):
            yield "deliver"
        if self._is_stored(canary):
            yield "store"
        if not asked(f"{self.settings.api_url}/api/v1/alerts", self.key):
            yield "api"

    def _is_stored(self, canary: Canary) -> bool:
        try:
            if self._clickhouse is None:
                url = self.settings.clickhouse_url.get_secret_value()
                self._clickhouse = connect(url, self.settings.clickhouse_database, ANSWER_S)
            ((rows,),) = self._clickhouse.rows(_ROWS, {"project": PROJECT, "trace": canary.trace_id})
        except (Transient, Permanent, ValueError) as error:
            log.warning("ClickHouse does not answer", error=str(error))
            return False
        return bool(rows)

    def _configure(self) -> None:
        """Applies scorer, rule and destination of the canary, once; without the api as they were."""
        if self._configured:
            return
        wanted = documents(self.settings.watch_host or self.ear.host, self.ear.port)
        try:
            Client(self.settings.api_url, self.key, 10).put("/api/v1/documents", wanted)
            self._configured = True
        except ApiError as error:
            log.warning("the canary's documents could not be applied", error=str(error))


async def after_round(watcher: Watcher, seen: set[str], whom: list[pages.Page], now: int) -> None:
    """Tells what a round has shown, and calls the dead man's switch when all is well."""
    stages = held_up(seen)
    ROUNDS.labels("held up" if stages else "through").inc()
    for stage in STAGES:
        HELD_UP.labels(stage).set(stage in stages)
    if stages:
        log.error("a canary was held up", stages=stages, beside=[stage for stage in stages if stage in BESIDE])
    for news in watcher.incidents.after(stages, now):
        reached = await asyncio.wait_for(pages.tell(whom, news, watcher.settings.public_url, now), PAGE_S)
        if reached or not whom:
            watcher.incidents.told(news, now)
    if not stages and watcher.settings.watch_ping_url:
        await asyncio.to_thread(_ping, watcher.settings.watch_ping_url)


def _ping(url: str) -> None:
    if why := answered(urllib.request.Request(url)):  # noqa: S310 - the operator's URL
        log.warning("the dead man's switch does not answer", reason=why)


def main(settings: Settings) -> None:
    """Watches until SIGTERM.

    Raises:
        ValueError: `VEDETTE_WATCH_PAGE` is no list of destinations, or there is no key.
    """
    observe.configure_logs(settings, JOB)
    if settings.admin_key is None:
        raise ValueError("watch needs a key that may apply and report: set VEDETTE_ADMIN_KEY")
    whom = pages.pages(settings)
    if not whom:
        log.warning("nobody is paged: set VEDETTE_WATCH_PAGE to a list of destinations")
    stopping, health = threading.Event(), observe.Health()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    probes = observe.serve(settings, health)
    ear = Ear(settings.host, settings.watch_port)
    ear.start()
    watcher = Watcher(settings, settings.admin_key.get_secret_value(), ear, stopping)
    health.ready()
    while not stopping.is_set():
        began = time.monotonic()
        seen = watcher.round(hatched())
        if stopping.is_set():
            break
        asyncio.run(after_round(watcher, seen, whom, time.time_ns() // 1_000_000))
        health.turn()
        stopping.wait(max(settings.watch_interval_s - (time.monotonic() - began), 0))
    ear.stop()
    if probes:
        probes.shutdown()
