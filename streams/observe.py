"""What every job shows: structured logs, `/livez`, `/readyz`, `/metrics`."""

import logging
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from streams.settings import Settings

RECORDS = Counter("vedette_records_total", "Records read", ["job", "topic"])
PRODUCED = Counter("vedette_produced_total", "Records written and acknowledged", ["job", "topic"])
DEAD_LETTERS = Counter("vedette_dead_letters_total", "Records put on vedette.dlq", ["job", "topic", "reason"])
RETRIES = Counter("vedette_retries_total", "Batches tried again after a transient failure", ["job"])
BATCH_SECONDS = Histogram("vedette_batch_seconds", "From poll to commit of one batch", ["job"])
LAG = Gauge("vedette_consumer_lag", "Records between the job and the end of its input", ["job", "topic", "partition"])
E2E_SECONDS = Histogram(
    "vedette_e2e_seconds",
    "From the ingest time of the oldest record of a batch to the end of this stage",
    ["stage"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)


def configure_logs(settings: Settings, job: str) -> None:
    """Makes every log line of this process structured and name its job."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    people = not settings.log_json
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if people else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(job=job)
    formatter = structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    for chatty in ("aiokafka", "mode", "faust", "streams.faust_app", "streams.count", "slack_sdk", "_granian"):
        # at INFO they tell of every step of a service's life; ours goes through structlog
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[settings.log_level]))


class Health:
    """Whether a job lives (its loop turns) and is ready (it has what it needs to work)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, wedged_after_s: float = 60) -> None:
        self._clock = clock
        self._wedged_after_s = wedged_after_s
        self._turned = clock()
        self.waiting_for = "start"
        """Empty once the job is ready, else what it waits for."""

    def turn(self) -> None:
        """Tells that the loop is alive."""
        self._turned = self._clock()

    def ready(self) -> None:
        """Tells that nothing is waited for."""
        self.waiting_for = ""

    def live(self) -> bool:
        """Tells whether the loop turned within the last minute."""
        return self._clock() - self._turned < self._wedged_after_s


def serve(settings: Settings, health: Health) -> ThreadingHTTPServer | None:
    """Answers probes and metrics on the job's own port in a thread; None when no port is set."""
    if not settings.metrics_port:
        return None
    server = ThreadingHTTPServer((settings.host, settings.metrics_port), _handler(health))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(5,), daemon=True, name="probes").start()
    return server


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Probes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = probe(health, self.path)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Probes come every few seconds: not worth a line."""

    return Probes


def probe(health: Health, path: str) -> tuple[int, str, bytes]:
    """Returns status, content type and body for one of the three paths of a job."""
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest()
    if path == "/livez":
        return (200, "text/plain", b"ok\n") if health.live() else (503, "text/plain", b"the loop stands still\n")
    if path == "/readyz":
        waiting = health.waiting_for
        return (503, "text/plain", f"waiting for {waiting}\n".encode()) if waiting else (200, "text/plain", b"ok\n")
    return 404, "text/plain", b"there are /livez, /readyz and /metrics\n"
