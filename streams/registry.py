"""A schema registry that speaks Confluent's REST protocol: ids for our schemas, schemas for the ids of others.

A schema stands under `<topic>-value` (TopicNameStrategy), where other tools look for it. A topic's second kind of record (ticks among rule
events) stands under `<topic>-vedette.Tick` (TopicRecordNameStrategy): the versions of one subject have to read each other.

The client comes with the extra `registry`: whoever has no registry does not import this module.
"""

import re
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import structlog
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.common._httpx_compat import httpx
from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError

from schemas.avro import TOPICS
from schemas.codec import Frame, Undecodable, described, schema_text
from schemas.record import Record
from schemas.topics import Topic
from sinks.sink import Transient
from streams import kafka
from streams.settings import Settings

log = structlog.get_logger()

COMPATIBILITY = "FULL_TRANSITIVE"
ANSWERS_WITHIN_S = 10.0
NO_SCHEMA = 40403
NOT_CONFIGURED = (40401, 40408)
"""A subject that is not there yet, or has no compatibility of its own."""
NOT_TAKEN = (409, 42201)
"""The schema is incompatible with an earlier version of its subject, or no schema at all."""
URL = re.compile(
    r"(?P<scheme>https?://)((?P<login>[^/?#@]+)@)?(?P<place>(\[[0-9A-Fa-f:.]+\]|[^/?#@:\s\[\]]+)(:\d{1,5})?(/[^?#@\s]*)?)"
)
NO_ANSWER = (httpx.HTTPError, OAuthTokenError, ValueError, TypeError, LookupError, AttributeError)
"""What the client raises when nobody answers, or somebody who is no registry."""


class Refused(RuntimeError):
    """The registry does not let us in, or does not take our schema: the job cannot work."""


class Registry:
    """Asks one registry. Everything may raise `Transient`: it does not answer as it should."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = _client(settings)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def enter(self) -> None:
        """Asks for any schema: whether the registry answers, and knows us, shows at the start and not at the first record.

        Raises:
            Refused: the credentials are wrong.

        """
        code, answer = self._ask(self._client.get_schema, 1)
        if _status(code) == 401:
            raise Refused(_not_let_in("the schema registry does not know us", answer))
        if code not in (0, NO_SCHEMA) and _status(code) != 403:
            raise Transient(f"the schema registry does not answer as one does: {answer}")

    def register(self, cls: type[Record]) -> Frame:
        """Registers a record's schema for each of its topics and returns the prefix of what is written by it.

        Raises:
            Refused: the compatibility of a subject forbids it, or we may not write there.

        """
        frame, *_ = [self._register(subject, cls) for subject in subjects(self._settings, cls)]
        return frame

    def _register(self, subject: str, cls: type[Record]) -> Frame:
        self._see_to_compatibility(subject)
        schema = Schema(schema_text(cls), "AVRO")
        code, answer = self._ask(self._client.register_schema, subject, schema, True)  # noqa: FBT003 - to normalise it
        if code in NOT_TAKEN:
            raise Refused(f"the schema registry does not take the schema of {cls.__name__} for {subject}: {answer}")
        self._done(code, f"does not register {subject}", answer)
        return b"\x00" + int(answer).to_bytes(4, "big")

    def _see_to_compatibility(self, subject: str) -> None:
        """Sets it where nobody has; what an operator has set stays."""
        code, level = self._ask(self._client.get_compatibility, subject)
        if code in NOT_CONFIGURED:
            code, level = self._ask(self._client.set_compatibility, subject, COMPATIBILITY)
        self._done(code, f"does not tell or set the compatibility of {subject}", level)
        if COMPATIBILITY not in (level, level["compatibility"] if isinstance(level, dict) else ""):
            log.warning("a subject's compatibility allows too much", subject=subject, level=level, fix=COMPATIBILITY)

    def _done(self, code: int, failure: str, answer: Any) -> None:
        if _status(code) in (401, 403):
            raise Refused(_not_let_in(f"the schema registry {failure}", answer))
        if code != 0:
            raise Transient(f"the schema registry {failure}: {answer}")

    def schema(self, frame: Frame) -> str:
        """Returns the JSON text of the schema that a frame names.

        Raises:
            Undecodable: the registry does not have it, or it is not Avro.

        """
        if frame[:1] == b"\x00":
            code, answer = self._ask(self._client.get_schema, int.from_bytes(frame[1:], "big"))
        else:
            code, answer = self._ask(self._client.get_schema_by_guid, str(UUID(bytes=frame[1:])))
        name = described(frame).partition(" of ")[0]
        if code == NO_SCHEMA:
            raise Undecodable(f"the schema registry does not have {name}: {answer}")
        if code != 0:
            raise Transient(f"the schema registry does not tell {name}: {answer}")
        kind = answer.schema_type or "AVRO"
        if kind != "AVRO" or answer.references:
            raise Undecodable(f"{described(frame)} is {kind}, or refers to others: ours are Avro in one piece")
        return str(answer.schema_str)

    def _ask(self, call: Any, *arguments: Any) -> tuple[int, Any]:
        """Returns 0 and what the registry answers, or its code for what is wrong and what it says."""
        try:
            return 0, call(*arguments)
        except SchemaRegistryError as error:
            return error.error_code if (error.error_code or 0) > 0 else error.http_status_code, error
        except NO_ANSWER as error:
            raise Transient(f"the schema registry does not answer: {type(error).__name__}: {error}") from error


def subjects(settings: Settings, cls: type[Record]) -> list[str]:
    """Returns the subjects of a record's schema, one for each of its topics."""
    other = f"{cls.namespace}.{cls.__name__}"
    return [
        f"{kafka.topic_name(settings, topic)}-{'value' if _named_for(topic) is cls else other}" for topic in TOPICS[cls]
    ]


def _named_for(topic: Topic) -> type[Record]:
    return next(record for record, topics in TOPICS.items() if topic in topics)


def _status(code: int) -> int:
    """The HTTP status that a code of the registry begins with: 40301 is a 403."""
    return int(str(code)[:3])


def _not_let_in(what: str, answer: object) -> str:
    return f"{what}: {answer}. User and password stand in VEDETTE_SCHEMA_REGISTRY, or other credentials in VEDETTE_SCHEMA_REGISTRY_CLIENT__*"


def _client(settings: Settings) -> SchemaRegistryClient:
    """Hands user and password over beside the URL: HTTP clients write URLs into logs and errors."""
    urls = [URL.fullmatch(one.strip()) for one in settings.schema_registry.get_secret_value().split(",")]
    if not all(urls):
        what = "is not http(s)://user:password@host:port; percent-encode what is special in user and password"
        raise RuntimeError(f"VEDETTE_SCHEMA_REGISTRY {what}")
    login = urls[0] and urls[0]["login"]
    bare = ",".join(url["scheme"] + url["place"] for url in urls if url)
    own = {"url": bare, "timeout": ANSWERS_WITHIN_S, "max.retries": 0}
    own |= {"basic.auth.user.info": unquote(login)} if login else {}
    further = {name.lower().replace("_", "."): value for name, value in settings.schema_registry_client.items()}
    try:
        return SchemaRegistryClient({**own, **further})
    except (ValueError, TypeError, OSError) as error:
        raise RuntimeError(f"VEDETTE_SCHEMA_REGISTRY or VEDETTE_SCHEMA_REGISTRY_CLIENT__*: {error}") from None
