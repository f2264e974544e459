"""What crosses the wall of a sandbox: calls in, answers out, as length-prefixed JSON on private pipes.

A frame is four bytes (its length, big-endian) and a JSON object. Every frame of a batch carries the batch's nonce, so what a
scorer writes of its own accord, or late, is told from an answer. Nothing is ever unpickled. The reader is strict: the other
side is a stranger's program, and whatever it says is about itself alone.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

Json = Mapping[str, object]

LARGEST = 1e9
"""No score is farther from 0."""


@dataclass(frozen=True)
class Call:
    """One subject to judge."""

    example: Json
    """The example's own fields; those of a trace scorer's subject stand in `trace`."""
    trace: Json | None = None
    overlay: Json = field(default_factory=dict)
    """Attributes set on the fresh instance before it judges, unless its class has no place for them: `threshold`, `model`,
    `options`, as the request asks for them."""


@dataclass(frozen=True)
class Judged:
    """The scorer's verdict."""

    value: float | None
    """Finite; a bool is 1 or 0; None where the scorer gave a label or nothing."""
    reason: str = ""
    label: str = ""
    log: str = ""
    """What the scorer printed while it judged this example, cut."""


@dataclass(frozen=True)
class Raised:
    """The author's code raised, or returned what is no score. The sandbox is fine."""

    error: str
    log: str = ""


@dataclass(frozen=True)
class TimedOut:
    """The example ran longer than the deadline; the sandbox was killed."""

    after_s: float


@dataclass(frozen=True)
class Died:
    """The sandbox ended while this example ran: `memory`, `exit 3`, `signal 11`, `garbage: …`."""

    why: str


@dataclass(frozen=True)
class Unfinished:
    """Not known to be at fault: a neighbour in the batch ended the sandbox. Call again in a fresh one."""

    suspect: bool = False
    """It ran at that moment, as others did: call it again alone, so that the blame is certain. A batch of one has no suspects."""


Answer = Judged | Raised | TimedOut | Died | Unfinished


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself once its module is imported and its scorer made."""

    class_name: str = ""
    scorer: str = ""
    threshold: float | None = None
    kind: str = "example"
    """`example` or `trace`."""
    fields: tuple[str, ...] = ()
    """Of the example class, if the scorer names one."""
    error: str = ""
    """The author's traceback when the import or the making failed; then nothing else is set."""
    log: str = ""
    """What the module printed while it was imported, cut."""


class Garbage(ValueError):
    """What came out of a sandbox is no answer to what was asked."""


def packed(frame: Json) -> bytes:
    """Returns the bytes of a frame."""
    body = orjson.dumps(frame, default=dict)
    return struct.pack(">I", len(body)) + body


def question(nonce: str, calls: Sequence[Call]) -> bytes:
    """Returns the frame that asks for verdicts on a batch."""
    return packed({"n": nonce, "calls": [{"e": call.example, "t": call.trace, "o": call.overlay} for call in calls]})


def taken(buffer: bytearray, largest: int) -> Iterator[dict[str, object]]:
    """Takes the frames that are whole off the front of a buffer.

    Args:
        buffer: what was read so far; what is left in it begins a frame.
        largest: bytes of one frame's body.

    Raises:
        Garbage: a frame is too large, or no JSON object.

    """
    while len(buffer) >= 4:
        (size,) = struct.unpack_from(">I", buffer)
        if size > largest:
            raise Garbage(f"a frame of {size} bytes; an answer has at most {largest}")
        if len(buffer) < 4 + size:
            return
        body = bytes(buffer[4 : 4 + size])
        del buffer[: 4 + size]
        yield _object(body)


def _object(body: bytes) -> dict[str, object]:
    """Strict JSON: no NaN, no number beyond a double's range, no deep nesting, no broken UTF-8."""
    try:
        frame = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Garbage(f"a frame that is no JSON: {error}") from None
    if not isinstance(frame, dict):
        raise Garbage(f"a frame that is no object but {type(frame).__name__}")
    return frame


def answer(frame: Json) -> Answer:
    """Returns the answer in a frame.

    Raises:
        Garbage: a value is no finite number, a text is none.

    """
    log = _text(frame, "o")
    if "e" in frame:
        return Raised(_text(frame, "e"), log)
    value = frame.get("v")
    if value is None and not frame.get("l"):
        raise Garbage("neither a score nor a label")
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Garbage(f"a score that is no number but {type(value).__name__}")
        if not math.isfinite(value) or abs(value) > LARGEST:
            raise Garbage("a score that is not finite or beyond a billion")
        value = float(value)
    return Judged(value, _text(frame, "r"), _text(frame, "l"), log)


def manifest(frame: Json) -> Manifest:
    """Returns the manifest in a frame.

    Raises:
        Garbage: it is none.

    """
    said = frame.get("m")
    if not isinstance(said, dict):
        raise Garbage("no manifest")
    threshold, fields = said.get("threshold"), said.get("fields", [])
    if threshold is not None and not (isinstance(threshold, float) and abs(threshold) <= LARGEST):
        raise Garbage("a threshold that is no number")
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        raise Garbage("fields that are no names")
    return Manifest(
        class_name=_text(said, "class_name"),
        scorer=_text(said, "scorer"),
        threshold=threshold,
        kind="trace" if said.get("kind") == "trace" else "example",
        fields=tuple(fields),
        error=_text(said, "error"),
        log=_text(said, "log"),
    )


def _text(frame: Json, name: str) -> str:
    value = frame.get(name, "")
    if not isinstance(value, str):
        raise Garbage(f"{name!r} is no text but {type(value).__name__}")
    return value
