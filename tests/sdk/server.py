"""A small server in the place of the bridge: it keeps what comes, and can be slow, refuse, or be away."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

KEY = "vdt_key_of_the_tests_0123456789"


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int


@dataclass(frozen=True)
class Span:
    """A span as it arrived."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    status: int
    resource: dict[str, Any]


@dataclass
class Server:
    """What it got, and how it answers."""

    status: int = 200
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def spans(self) -> list[Span]:
        """The spans that were taken, in the order of their arrival."""
        bodies = [one.body for one in self.requests if one.path == "/v1/traces" and one.status == 200]
        return [span for body in bodies for span in _decoded(body)]

    def span(self, name: str) -> Span:
        (found,) = [one for one in self.spans() if one.name == name]
        return found

    def examples(self) -> list[dict[str, Any]]:
        """The examples that were taken."""
        bodies = [one.body for one in self.requests if one.path == "/v1/examples" and one.status == 200]
        return [example for body in bodies for example in json.loads(body)["examples"]]


def _decoded(body: bytes) -> Iterator[Span]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _plain(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                events = [(event.name, _plain(event.attributes)) for event in span.events]
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                yield Span(span.name, *ids, _plain(span.attributes), events, span.status.code, resource)


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes if isinstance(one, KeyValue)}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return (
        [_value(one) for one in value.array_value.values]
        if kind == "array_value"
        else getattr(value, kind or "string_value")
    )


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """A server on a port, a free one by default, until the block ends."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(server.delay_s)
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append(Request(self.path, headers, body, server.status))
            answer = b"" if self.path.endswith("/traces") else json.dumps(server.told).encode()
            self.send_response(server.status)
            for name, value in {**server.headers, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    class Http(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A client that has gone away."""

    http = Http(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def until(done: Callable[[], bool], patience_s: float = 20) -> None:
    """Waits until something is true."""
    end = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end, f"not within {patience_s:g} s"
        time.sleep(0.02)
