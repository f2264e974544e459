"""A server on loopback that keeps the requests it gets: PagerDuty's Events API, an incoming webhook, somebody's own program.

with Receiver(respond=lambda request: Reply(429, headers={"Retry-After": "30"})) as server:
    ...
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from schemas.net_guard import networks
from sinks.egress import Egress

LOOPBACK = Egress(networks(["127.0.0.0/8"]))


@dataclass(frozen=True)
class Asked:
    """A request as it came; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)


def pagerduty_reply(request: Asked) -> Reply:
    """What PagerDuty's Events API v2 answers when nothing is wrong on its side."""
    event = request.data
    wrong = [
        *([] if len(event.get("routing_key", "")) == 32 else ["'routing_key' is invalid"]),
        *([] if event.get("event_action") in ("trigger", "acknowledge", "resolve") else ["'event_action' is invalid"]),
        *([] if len(event.get("dedup_key", "")) <= 255 else ["'dedup_key' is too long"]),
        *(_payload(event.get("payload") or {}) if event.get("event_action") == "trigger" else []),
    ]
    if request.path != "/v2/enqueue":
        return Reply(404)
    if wrong:
        told = {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}
        return Reply(400, json.dumps(told).encode())
    told = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
    return Reply(202, json.dumps(told).encode())


def _payload(payload: Mapping[str, Any]) -> list[str]:
    return [
        *([] if 0 < len(payload.get("summary", "")) <= 1024 else ["'payload.summary' is missing or too long"]),
        *([] if payload.get("source") else ["'payload.source' is missing or blank"]),
        *([] if payload.get("severity") in ("critical", "error", "warning", "info") else ["'payload.severity' is invalid"]),
    ]  # fmt: skip


class Receiver:
    """Keeps what is posted to `url` in `asked` and answers what `respond` says."""

    def __init__(self, respond: Callable[[Asked], Reply] = lambda _: Reply()) -> None:
        self.respond = respond
        self.asked: list[Asked] = []
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="receiver")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        reply = self.receiver.respond(request)
        self.receiver.asked.append(request)
        self._answer(reply)

    def do_GET(self) -> None:
        self._answer(Reply(405))

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """What was asked is the log."""
