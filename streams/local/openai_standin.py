"""A stand-in for a language model's provider: OpenAI's chat completions on loopback, answered by a function.

    python -m streams.local.standins openai PORT

It speaks what the scorers' clients read: whole answers, streams with usage, errors in OpenAI's shape
(https://platform.openai.com/docs/api-reference/chat).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from streams.local.ports import LOOPBACK

WORDS = ("package", "parcel", "shipment", "delivery")


@dataclass(frozen=True)
class OpenAiCall:
    """A call as it came."""

    path: str
    key: str
    body: Mapping[str, Any]

    @property
    def prompt(self) -> str:
        """The text of its last message."""
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class OpenAiReply:
    """What is answered: a text, or with another status than 200 an error."""

    text: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def judge_of_packages(call: OpenAiCall) -> OpenAiReply:
    """Answers the question of the demo's scorer: whether what follows `Agent response:` speaks of the package."""
    response = call.prompt.partition("Agent response:")[2].partition("\n")[0].lower()
    return OpenAiReply("YES" if any(word in response for word in WORDS) else "NO")


class OpenAiStandIn:
    """A provider at `url`, which is the client's `base_url`. Every call goes to `calls`; `respond` runs in the thread of the call."""

    def __init__(self, port: int = 0, respond: Callable[[OpenAiCall], OpenAiReply] = judge_of_packages) -> None:
        self.respond = respond
        self.calls: list[OpenAiCall] = []
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="openai-stand-in", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    stand_in: OpenAiStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Only says that the server is there."""
        self._send(200 if self.path == "/readyz" else 404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        call = OpenAiCall(self.path, self.headers.get("Authorization", "").removeprefix("Bearer "), body)
        reply = self.stand_in.respond(call)
        self.stand_in.calls.append(call)
        if reply.status != 200:
            error = {"message": reply.text, "type": "server_error", "param": None, "code": None}
            self._send(reply.status, json.dumps({"error": error}).encode(), headers=reply.headers)
        elif body.get("stream"):
            events = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(body, reply.text)]
            self._send(200, "".join([*events, "data: [DONE]\n\n"]).encode(), "text/event-stream")
        else:
            self._send(200, json.dumps(_completion(body, reply.text)).encode(), headers=reply.headers)

    def _send(
        self, status: int, content: bytes, kind: str = "application/json", headers: Mapping[str, str] = {}
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """The calls are the log."""


def _usage(body: Mapping[str, Any], text: str) -> dict[str, int]:
    read, written = len(json.dumps(body["messages"])) // 4, max(len(text) // 4, 1)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _completion(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return _head(body, "chat.completion") | {"choices": [choice], "usage": _usage(body, text)}


def _chunks(body: Mapping[str, Any], text: str) -> Iterator[dict[str, Any]]:
    head = _head(body, "chat.completion.chunk")
    for part in text.split(" "):
        delta = {"role": "assistant", "content": part}
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None}
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
    if (body.get("stream_options") or {}).get("include_usage"):
        yield head | {"choices": [], "usage": _usage(body, text)}


def _head(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": body["model"]}
