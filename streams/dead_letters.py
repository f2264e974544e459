"""Dead letters: what stands on `vedette.dlq`, and how it goes back to where it came from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from confluent_kafka import Message

from schemas.topics import Topic
from streams.records import Out

ERROR = "vedette-error-"
INGESTED_AT = "vedette-ingested-at"
REPLAYS = "vedette-replays"
"""Header: how often a record was put back. Every job passes headers on to the letter, so one that fails again still carries it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What the headers of a dead letter tell."""

    partition: int
    offset: int
    time: int
    """When it became one, in milliseconds."""
    job: str
    topic: str
    """Where it came from, without the installation's prefix."""
    error: str
    """The class of the failure."""
    message: str
    project: str
    ingested_at: int | None
    """The ingest time that it gives its subjects, in milliseconds."""
    replays: int
    identity: bytes
    """Equal for the same record: dead-lettered by two jobs, or once more after a replay."""

    @property
    def origin(self) -> Topic | None:
        """The topic that it came from, None when this release has no such topic."""
        return Topic(self.topic) if self.topic in set(Topic) else None


@dataclass(frozen=True)
class Wanted:
    """Which dead letters are to be put back."""

    topic: str | None = None
    error: str | None = None
    project: str | None = None
    place: tuple[int, int] | None = None
    """Partition and offset of one letter."""

    def takes(self, letter: Letter) -> bool:
        """Tells whether a letter is one of them."""
        return (
            self.topic in (None, letter.topic)
            and self.error in (None, letter.error)
            and self.project in (None, letter.project)
            and self.place in (None, (letter.partition, letter.offset))
        )


@dataclass
class Plan:
    """Which letters go back: of several with the same record the newest, so that each record goes back once."""

    letters: dict[bytes, Letter] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    """Letters whose topic this release does not have, by that topic."""

    def add(self, letter: Letter) -> None:
        """Considers a letter."""
        known = self.letters.get(letter.identity)
        if letter.origin is None:
            self.left[letter.topic or "nowhere"] += 1
        elif known is None or (letter.replays, letter.time) > (known.replays, known.time):
            self.letters[letter.identity] = letter

    def places(self) -> dict[tuple[int, int], Letter]:
        """Returns the letters that go back by partition and offset."""
        return {(letter.partition, letter.offset): letter for letter in self.letters.values()}

    def counted(self) -> list[dict[str, Any]]:
        """Returns how many go back to which topic, and what had failed."""
        count = Counter((letter.topic, letter.job, letter.error) for letter in self.letters.values())
        return [{"records": n, "topic": t, "job": j, "class": c} for (t, j, c), n in sorted(count.items())]


def headers_of(message: Message) -> dict[str, bytes]:
    """Returns the headers of a message; of several with one name the last."""
    given: Iterable[Any] = message.headers() or ()
    return {name: value or b"" for name, value in given}


def letter_of(message: Message) -> Letter:
    """Returns what a message on `vedette.dlq` tells. Whatever is missing is empty: nobody else's mistake may hide a letter."""
    headers = headers_of(message)
    told = {name: headers.get(ERROR + name, b"").decode(errors="replace") for name in _TOLD}
    ingested_at = _number(headers.get(INGESTED_AT, b""))
    return Letter(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        time=message.timestamp()[1],
        job=told["job"],
        topic=told["topic"],
        error=told["class"],
        message=told["message"],
        project=headers.get("vedette-project", b"").decode(errors="replace"),
        ingested_at=ingested_at,
        replays=_number(headers.get(REPLAYS, b"")) or 0,
        identity=_identity(told["topic"], message.key(), message.value(), ingested_at),
    )


_TOLD = ("job", "topic", "class", "message")


def _number(text: bytes) -> int | None:
    return int(text) if text.isdigit() else None


def _identity(topic: str, key: bytes | None, value: bytes | None, ingested_at: int | None) -> bytes:
    digest = blake2b(digest_size=16)
    for part in (topic.encode(), key or b"", value or b"", str(ingested_at).encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def again(message: Message, letter: Letter, origin: Topic) -> Out:
    """Returns the record as it is put back: its own key, bytes, headers and ingest time, without what we wrote about its failure.

    A Collector's record goes to `otlp_spans` with its project, where the ingest time is honoured: on its own topic no header is.
    """
    headers = {name: value for name, value in headers_of(message).items() if not name.startswith(ERROR)}
    headers[REPLAYS] = str(letter.replays + 1).encode()
    partition = _number(headers_of(message).get(f"{ERROR}partition", b"")) if origin in _NOT_BY_KEY else None
    return Out(origin, message.key(), message.value(), tuple(headers.items()), partition)


_NOT_BY_KEY = (Topic.DELIVERIES,)
"""Topics whose partition is not that of the key: a record goes back to the partition that it came from."""
