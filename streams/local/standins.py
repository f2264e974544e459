"""Stand-ins for the outside world: a Slack and a mail server on loopback that write down what they are sent.

    python -m streams.local.standins slack PORT FILE      Slack's Web API; FILE gets one JSON line a call
    python -m streams.local.standins smtp PORT FILE       an SMTP server; FILE gets one JSON line a message
    python -m streams.local.standins openai PORT          a language model's provider

The demo runs them as processes; tests run them in their own process and decide by a function what is answered.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller

from streams.local.openai_standin import OpenAiStandIn
from streams.local.ports import LOOPBACK, free_port


@dataclass(frozen=True)
class SlackCall:
    """A call as it came: method such as `chat.postMessage`, the bearer's token, the arguments.

    `ts` is the timestamp that the message will be known by if it is posted.
    """

    method: str
    token: str
    arguments: Mapping[str, Any]
    ts: str


@dataclass(frozen=True)
class SlackReply:
    """What is answered to a call."""

    body: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def slack_reply(call: SlackCall) -> SlackReply:
    """What Slack answers when nothing is wrong on its side: the usual errors have HTTP status 200 and `ok: false`."""
    channel = call.arguments.get("channel")
    if not call.token:
        return _refusal("not_authed")
    if not call.token.startswith("xox"):
        return _refusal("invalid_auth")
    if call.method == "auth.test":
        return SlackReply(
            {"ok": True, "url": "http://127.0.0.1/", "team": "stand-in", "user": "vedette", "bot_id": "B1"}
        )
    if call.method not in {"chat.postMessage", "chat.update"}:
        return _refusal("unknown_method")
    if not channel:
        return _refusal("channel_not_found")
    if not (call.arguments.get("text") or call.arguments.get("blocks") or call.arguments.get("attachments")):
        return _refusal("no_text")
    if call.method == "chat.postMessage":
        return SlackReply({"ok": True, "channel": channel, "ts": call.ts, "message": dict(call.arguments)})
    ts = call.arguments.get("ts")
    return SlackReply({"ok": True, "channel": channel, "ts": ts}) if ts else _refusal("message_not_found")


def _refusal(error: str) -> SlackReply:
    return SlackReply({"ok": False, "error": error})


class SlackStandIn:
    """A server that speaks Slack's Web API at `url`, which is slack-sdk's `base_url`.

    Every call goes to `calls` and, as a JSON line without the token, to the file `record`. `respond` decides the answer;
    it runs in the thread of the call, so it may take its time.
    """

    def __init__(
        self, port: int = 0, record: Path | None = None, respond: Callable[[SlackCall], SlackReply] = slack_reply
    ) -> None:
        self.respond = respond
        self.calls: list[SlackCall] = []
        self._record = _Record(record)
        self._numbers = itertools.count(1)
        handler = type("Handler", (_SlackHandler,), {"stand_in": self})
        self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="slack-stand-in", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}/api/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, token: str, arguments: Mapping[str, Any]) -> SlackReply:
        """Records a call and answers it."""
        call = SlackCall(method, token, arguments, f"{int(time.time())}.{next(self._numbers):06d}")
        reply = self.respond(call)
        self.calls.append(call)
        self._record.add(
            {"method": method, "arguments": dict(arguments), "status": reply.status, "reply": dict(reply.body)}
        )
        return reply


class _SlackHandler(BaseHTTPRequestHandler):
    stand_in: SlackStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Only says that the server is there."""
        self._send(SlackReply({"ok": True}, 200 if self.path == "/readyz" else 404))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        arguments = _arguments(self.headers.get_content_type(), raw)
        scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
        token = bearer if scheme.lower() == "bearer" else str(arguments.pop("token", ""))
        self._send(self.stand_in.answer(self.path.rsplit("/", 1)[-1], token, arguments))

    def _send(self, reply: SlackReply) -> None:
        body = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | dict(reply.headers)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The record is the log."""


def _arguments(content_type: str, raw: str) -> dict[str, Any]:
    """The arguments of a call: a JSON object, or a form whose structured values are JSON."""
    if content_type == "application/json":
        arguments: dict[str, Any] = json.loads(raw or "{}")
        return arguments
    form = dict(urllib.parse.parse_qsl(raw, keep_blank_values=True))
    return {key: json.loads(value) if key in {"blocks", "attachments"} else value for key, value in form.items()}


@dataclass(frozen=True)
class Mail:
    """A message as it came: the envelope and the raw text."""

    sender: str
    recipients: tuple[str, ...]
    text: str


class SmtpStandIn:
    """An SMTP server on 127.0.0.1 and `port`.

    Every accepted message goes to `mails` and, as a JSON line, to the file `record`. `respond` gives the reply to a
    message, `admit` the reply to each recipient; a message is accepted if its reply begins with 2. An empty reply takes the
    message and cuts the connection before it is said.
    """

    def __init__(
        self,
        port: int = 0,
        record: Path | None = None,
        respond: Callable[[Mail], str] = lambda _: "250 OK",
        admit: Callable[[str], str] = lambda _: "250 OK",
    ) -> None:
        self.respond = respond
        self.admit = admit
        self.mails: list[Mail] = []
        self.port = port or free_port()
        self._record = _Record(record)
        self._controller = Controller(self, hostname=LOOPBACK, port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Sequence[str]
    ) -> str:
        """Called by aiosmtpd for each recipient."""
        reply = self.admit(address)
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Called by aiosmtpd for each message."""
        mail = Mail(envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content.decode(errors="replace"))
        reply = self.respond(mail)
        if reply == "" or reply.startswith("2"):
            self.mails.append(mail)
            self._record.add(asdict(mail))
        if reply == "":
            server.transport.abort()
        return reply or "250 nobody hears this"


class _Record:
    """A file of JSON lines, each with the time it was written in seconds since 1970; or nothing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._alone = threading.Lock()

    def add(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps({"time": time.time(), **entry}, ensure_ascii=False)
        with self._alone, self._file.open("a") as out:
            out.write(line + "\n")


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["slack", port, file]:
            stand_in: SlackStandIn | SmtpStandIn | OpenAiStandIn = SlackStandIn(int(port), Path(file))
        case ["smtp", port, file]:
            stand_in = SmtpStandIn(int(port), Path(file))
        case ["openai", port]:
            stand_in = OpenAiStandIn(int(port))
        case _:
            sys.exit("usage: python -m streams.local.standins slack|smtp PORT FILE, or openai PORT")
    with stand_in:
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
