"""What crosses the wall of a sandbox: calls in, answers out, as length-prefixed JSON on private pipes.

A frame is four bytes (its length, big-endian) and a JSON object. Every frame of a batch carries the batch's nonce, so what a
scorer writes of its own accord, or late, is told from an answer. Nothing is ever unpickled. The reader is strict: the other
side is a stranger's program, and whatever it says is about itself alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Json = Mapping[str, object]


@dataclass(frozen=True)
class Call:
    """One subject to judge."""

    example: Json
    """The example's own fields; those of a trace scorer's subject stand in `trace`."""
    trace: Json | None = None
    overlay: Json = field(default_factory=dict)
    """Attributes set on the fresh instance before it judges: `threshold`, `model`, as the run asks for them."""


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
    """Not at fault: a neighbour in the batch ended the sandbox. Call again in a fresh one."""


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
