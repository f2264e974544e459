"""Records between two releases on a real Kafka, with a schema registry, without one, and while it is being turned on."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from schemas.codec import ID_BYTES, MARKER, SCHEMA_HEADER, Schemas, schema_text
from schemas.ids import record_key
from schemas.topics import Topic
from streams import schema_topic
from tests.support.jobs import Installation
from tests.support.registry import Registry, registry
from tests.support.releases import HOPS, NewBall, OldBall

pytestmark = pytest.mark.integration

KEY = record_key("default", "ball")
SUBJECT = "vedette.examples-vedette.Ball"


@pytest.fixture
def server() -> Iterator[Registry]:
    with registry() as made:
        yield made


def frames(installation: Installation) -> list[bytes]:
    """What each record of the topic begins with: the marker of single-object encoding, or a registry's id."""
    values = [message.value() or b"" for message in installation.messages(Topic.EXAMPLES)]
    return [value[: 2 if value.startswith(MARKER) else ID_BYTES] for value in values]


def read(installation: Installation) -> list[NewBall]:
    """Everything on the topic, by a reader that has no registry."""
    schemas = Schemas()
    learning = schema_topic.SchemaTopic(installation.settings, schemas)
    learning.read_on()
    learning.close()
    return [schemas.decode(NewBall, m.value() or b"") for m in installation.messages(Topic.EXAMPLES)]


def play(installation: Installation, to: str) -> list[NewBall]:
    """Serves a ball, in single-object encoding, and returns it as it stood on the topic after each hit."""
    installation.put(Topic.EXAMPLES, KEY, OldBall(project="default", to=to))
    installation.flush()
    installation.until(lambda: len(installation.messages(Topic.EXAMPLES)) == HOPS + 1)
    return read(installation)


def expected(to: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """To whom it went, and in which mood: the newer release fills in what the older left out, and the older passes over what it does not know."""
    by_old, by_new = ("newer", "calm", ()), ("older", "glad", ("calm",))
    hits = [by_old, by_new] if to == "older" else [by_new, by_old]
    return [(to, "calm", ()), *hits * (HOPS // 2)]


def told(balls: list[NewBall]) -> list[tuple[str, str, tuple[str, ...]]]:
    assert [ball.hops for ball in balls] == list(range(HOPS + 1))
    return [(ball.to, ball.mood, ball.seen) for ball in balls]


def test_two_releases_without_a_registry_read_each_other(installation: Installation) -> None:
    installation.start("tests.support.older", "tests.support.newer")
    assert told(play(installation, "older")) == expected("older")
    assert set(frames(installation)) == {MARKER}


def test_two_releases_with_a_registry_read_each_other(installation: Installation, server: Registry) -> None:
    installation.start("tests.support.older", "tests.support.newer", schema_registry=server.url)
    assert told(play(installation, "newer")) == expected("newer")
    subject = f"{installation.settings.topic_prefix}{SUBJECT}"
    assert server.known.subjects == {subject: [1, 2]}
    assert server.known.levels == {subject: "FULL_TRANSITIVE"}
    by_new, by_old = (b"\x00" + number.to_bytes(4, "big") for number in ids(server))
    assert frames(installation) == [MARKER, *[by_new, by_old] * (HOPS // 2)]


def ids(server: Registry) -> list[int]:
    """The newer release's and the older one's, whichever came first."""
    return sorted(server.known.ids, key=lambda number: "mood" not in server.known.ids[number])


def test_a_registry_is_turned_on_one_job_after_the_other(installation: Installation, server: Registry) -> None:
    """The older release reads by it and does not write by it yet."""
    installation.start("tests.support.older", schema_registry=server.url, schema_registry_write=False)
    installation.start("tests.support.newer", schema_registry=server.url)
    assert told(play(installation, "older")) == expected("older")
    assert frames(installation) == [MARKER, *[MARKER, b"\x00\x00\x00\x00\x01"] * (HOPS // 2)]


def test_what_was_written_by_a_registry_is_read_without_it(installation: Installation, server: Registry) -> None:
    """Its ids stand on `vedette.schemas` too: the older release was never told where it is."""
    installation.start("tests.support.newer", schema_registry=server.url)
    installation.start("tests.support.older")
    assert told(play(installation, "newer")) == expected("newer")


@pytest.mark.parametrize("form", [prefix_schema_id_serializer, header_schema_id_serializer])
def test_what_a_stranger_writes_by_confluents_serializer_is_read(
    installation: Installation, server: Registry, form: Any
) -> None:
    """By prefix, and by header: the value is the Avro body alone then."""
    first = OldBall(project="default", to="older")
    headers: dict[str, Any] = {}
    with closing(SchemaRegistryClient({"url": server.url})) as client:
        write = AvroSerializer(client, schema_text(OldBall), conf={"schema.id.serializer": form})
        value = write(first.model_dump(), SerializationContext("elsewhere", MessageField.VALUE, headers))
    installation.start("tests.support.older", schema_registry=server.url)
    installation.put(Topic.EXAMPLES, KEY, bytes(value or b""), headers)
    installation.flush()
    installation.until(lambda: len(installation.messages(Topic.EXAMPLES)) == 2)
    hit = installation.messages(Topic.EXAMPLES)[1].value() or b""
    schemas = Schemas()
    schemas.add(schema_text(OldBall), hit[:ID_BYTES])
    assert schemas.decode(OldBall, hit) == OldBall(project="default", to="newer", hops=1)
    assert list(headers) == ([SCHEMA_HEADER] if form is header_schema_id_serializer else [])


def test_a_job_waits_for_a_registry_that_is_away(installation: Installation, server: Registry) -> None:
    server.known.away = True
    (job,) = installation.start("tests.support.newer", schema_registry=server.url, ready=False)
    installation.until(lambda: "waiting for the schema registry" in job.log())
    assert "the leader is away" in job.log()
    server.known.away = False
    job.wait_ready()


def test_a_job_with_wrong_credentials_ends_and_says_so(installation: Installation) -> None:
    with registry(credentials=base64.b64encode(b"me:secret").decode()) as server:
        wrong = server.url.replace("//", "//me:guess@")
        (job,) = installation.start("tests.support.newer", schema_registry=wrong, ready=False)
        assert job.wait() == 1
    ended = json.loads(job.log().splitlines()[-1])
    assert ended["event"] == "the job ends"
    assert "the schema registry does not know us: Unauthorized" in ended["error"]
    assert "guess" not in job.log()
