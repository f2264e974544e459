"""What the bridge answers: OTLP `Status` to exporters, `{"error", "message"}` to everybody else."""

from dataclasses import dataclass
from typing import Literal

import orjson

from streams.bridge.wire import varint

Form = Literal["status-protobuf", "status-json", "json", "judgeval"]
"""How a refusal is written: google.rpc.Status in the request's encoding, our own JSON, or that with the `detail` that judgeval reads."""

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_CODES: dict[int, tuple[int, str]] = {  # HTTP status -> google.rpc.Code, our word
    400: (3, "invalid"),
    401: (16, "unauthenticated"),
    403: (7, "forbidden"),
    404: (5, "not_found"),
    405: (12, "method_not_allowed"),
    408: (4, "too_slow"),
    413: (8, "too_large"),
    415: (3, "unsupported_media_type"),
    429: (8, "too_many_requests"),
    500: (13, "internal"),
    502: (14, "bad_gateway"),
    503: (14, "unavailable"),
}

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body is at hand."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def all_headers(self) -> Headers:
        """Returns the headers with the content type."""
        return [("content-type", self.content_type), *self.headers]


class Refused(Exception):
    """A request that is not taken: the status, and what is wrong with which value and how to mend it."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.headers = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        if retry_after_s is not None:
            self.headers += (("retry-after", str(retry_after_s)),)

    @property
    def code(self) -> int:
        """The status as a google.rpc.Code."""
        return _CODES[self.status][0]

    def answer(self, form: Form) -> Answer:
        """Returns the response."""
        code, word = _CODES[self.status]
        if form == "status-protobuf":
            return Answer(self.status, PROTOBUF, _status(code, self.message), self.headers)
        body = (
            {"code": code, "message": self.message}
            if form == "status-json"
            else {"error": word, "message": self.message}
        )
        if form == "judgeval":
            body["detail"] = self.message
        return Answer(self.status, JSON, orjson.dumps(body), self.headers)


def _status(code: int, message: str) -> bytes:
    """google.rpc.Status: code = 1, message = 2."""
    text = message.encode()
    return b"\x08" + varint(code) + b"\x12" + varint(len(text)) + text
