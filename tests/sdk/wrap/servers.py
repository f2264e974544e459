"""Providers of models on this machine: they speak the protocols of OpenAI, Groq, Together, Anthropic and Gemini over HTTP."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a provider answers to one request."""

    body: Any = None
    """JSON; without it the answer is a stream of events"""
    events: tuple[Any, ...] = ()
    """each a dict, or (name, dict), or a text as it is"""
    status: int = 200
    cut: str = ""
    """`torn`: the connection breaks after the events; `clean`: it ends after them as if all had been said"""
    pause: threading.Event | None = None
    """waited for before the last event"""


@dataclass
class Provider:
    """A running server: answers in the order in which they were given, the last one again and again."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    """bodies of the requests"""
    paths: list[str] = field(default_factory=list)

    def answers_with(self, *answers: Answer) -> None:
        self.answers[:] = answers

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def provider() -> Iterator[Provider]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.provider = Provider(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.provider  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        told: Provider = self.server.provider  # type: ignore[attr-defined]
        length = int(self.headers.get("content-length") or 0)
        told.seen.append(json.loads(self.rfile.read(length) or b"{}"))
        told.paths.append(self.path)
        answer = told.next()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._whole(answer) if answer.body is not None else self._stream(answer)

    def _whole(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer: Answer) -> None:
        chunked = answer.cut != "clean"
        self.send_response(answer.status)
        self.send_header("content-type", "text/event-stream")
        self.send_header(*(("transfer-encoding", "chunked") if chunked else ("connection", "close")))
        self.end_headers()
        for place, event in enumerate(answer.events):
            if answer.pause is not None and place == len(answer.events) - 1:
                answer.pause.wait(10)
            data = _event(event).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            self.wfile.flush()
        if chunked and not answer.cut:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = bool(answer.cut)

    def log_message(self, *args: Any) -> None: ...


def _event(event: Any) -> str:
    if isinstance(event, str):
        return event
    name, data = event if isinstance(event, tuple) else (None, event)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n"


DONE = "data: [DONE]\n\n"
CHAT_USAGE = {
    "prompt_tokens": 21,
    "completion_tokens": 9,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def chat(content: str | None = "On its way.", *, calls: tuple[dict[str, Any], ...] = (), **more: Any) -> Answer:
    """A chat completion, as OpenAI, Groq and Together answer it."""
    said: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if calls:
        said["tool_calls"] = list(calls)
    choice = {"index": 0, "message": said, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
    return Answer(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-5-mini-2025-08-07",
            "choices": [choice],
            "usage": CHAT_USAGE,
            **more,
        }
    )


def call(name: str = "track", arguments: str = '{"parcel": "P7"}', call_id: str = "call_1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_chunk(delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-mini-2025-08-07"}
    return {**head, "choices": choices, **more}


CHAT_STREAM = (
    chat_chunk({"role": "assistant", "content": ""}),
    chat_chunk({"content": "On its"}),
    chat_chunk({"content": " way."}),
    chat_chunk({}, "stop"),
    chat_chunk(None, usage=CHAT_USAGE),
    DONE,
)
CALL_STREAM = (
    chat_chunk({"role": "assistant", "tool_calls": [{"index": 0, **call(arguments="")}]}),
    chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"parcel"'}}]}),
    chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": ': "P7"}'}}]}),
    chat_chunk({"tool_calls": [{"index": 1, **call("notify", "{}", "call_2")}]}),
    chat_chunk({}, "tool_calls"),
    DONE,
)

EMBEDDED = Answer(
    {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
)

RESPONSE_USAGE = {
    "input_tokens": 30,
    "output_tokens": 12,
    "total_tokens": 42,
    "input_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 6},
}


def said_item(text: str = "On its way.", status: str = "completed") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}


CALL_ITEM = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "track",
    "arguments": '{"parcel": "P7"}',
    "status": "completed",
}
THOUGHT_ITEM = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "A parcel."}]}


def response(*items: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """A response of OpenAI's."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-mini-2025-08-07",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": list(items or [said_item()]),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE if status == "completed" else None,
        **more,
    }


def _named(kind: str, number: int, **data: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, "sequence_number": number, **data}


RESPONSE_STREAM = (
    _named("response.created", 0, response=response(status="in_progress", output=[])),
    _named("response.output_item.added", 1, output_index=0, item=said_item("", "in_progress")),
    _named(
        "response.content_part.added",
        2,
        output_index=0,
        content_index=0,
        item_id="msg_1",
        part={"type": "output_text", "text": "", "annotations": []},
    ),
    *(
        _named("response.output_text.delta", n, output_index=0, content_index=0, item_id="msg_1", delta=d, logprobs=[])
        for n, d in ((3, "On its"), (4, " way."))
    ),
    _named("response.output_item.done", 5, output_index=0, item=said_item()),
    _named("response.completed", 6, response=response()),
)

CLAUDE_USAGE = {
    "input_tokens": 10,
    "output_tokens": 8,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 20,
    "output_tokens_details": {"thinking_tokens": 3},
}
THINKING = {"type": "thinking", "thinking": "A parcel.", "signature": "s"}
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "track", "input": {"parcel": "P7"}}


def claude(*blocks: dict[str, Any], stop_reason: str = "end_turn") -> Answer:
    """A message of Anthropic's."""
    return Answer(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": list(blocks or [{"type": "text", "text": "On its way."}]),
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": CLAUDE_USAGE,
        }
    )


def _typed(kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, **data}


CLAUDE_STREAM = (
    _typed(
        "message_start",
        message={
            **claude().body,
            "content": [],
            "stop_reason": None,
            "usage": {**CLAUDE_USAGE, "output_tokens": 1, "output_tokens_details": None},
        },
    ),
    _typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    _typed("ping"),
    _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "On its"}),
    _typed("content_block_delta", index=0, delta={"type": "text_delta", "text": " way."}),
    _typed("content_block_stop", index=0),
    _typed("content_block_start", index=1, content_block={**TOOL_USE, "input": {}}),
    _typed("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"parcel"'}),
    _typed("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": ': "P7"}'}),
    _typed("content_block_stop", index=1),
    _typed(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 8, "output_tokens_details": {"thinking_tokens": 3}},
    ),
    _typed("message_stop"),
)


def gemini(*parts: dict[str, Any], finish_reason: str | None = "STOP", usage: bool = True) -> dict[str, Any]:
    """An answer of Gemini's, which is a chunk of a stream too."""
    candidate: dict[str, Any] = {
        "index": 0,
        "content": {"role": "model", "parts": list(parts or [{"text": "On its way."}])},
    }
    made: dict[str, Any] = {"candidates": [candidate], "modelVersion": "gemini-3-flash", "responseId": "r1"}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    if usage:
        made["usageMetadata"] = {
            "promptTokenCount": 15,
            "candidatesTokenCount": 6,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 4,
            "totalTokenCount": 26,
        }
    return made


GEMINI_STREAM = (
    gemini({"text": "On its"}, finish_reason=None, usage=False),
    gemini({"text": " way."}),
)
GEMINI_EMBEDDED = Answer({"embeddings": [{"values": [0.1, 0.2]}], "embedding": {"values": [0.1, 0.2]}})


def error(status: int, words: str = "no") -> Answer:
    """A refusal in the form that all of them understand."""
    return Answer(
        {"type": "error", "error": {"type": "some_error", "code": status, "message": words, "status": "E"}},
        status=status,
    )
