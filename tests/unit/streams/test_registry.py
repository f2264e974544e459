import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.codec import Schemas, Undecodable, UnknownSchema, encode, schema_text
from schemas.delivery import Delivery
from schemas.example import Example
from schemas.request import ScoreRequest
from schemas.rule import RuleEvent, Tick
from schemas.score import Score
from sinks.sink import Transient
from streams import schema_topic
from streams.registry import Refused, Registry
from streams.schema_topic import SchemaTopic
from streams.settings import Settings
from tests.support.registry import Registry as Server
from tests.support.registry import guid, registry

Ask = Callable[..., Registry]
Reading = Callable[[str], tuple[Schemas, SchemaTopic]]

TICK = Tick(job="count")
NO_PRODUCER: Any = type("", (), {"flush": lambda *_: 0})()
"""For a job that writes nothing."""
BODY = encode(TICK)[10:]
"""Nothing in this process writes through a registry: what `encode` returns begins with ten bytes of single-object encoding."""


@pytest.fixture
def server() -> Iterator[Server]:
    with registry() as made:
        yield made


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Makes clients that are closed when the test ends."""
    with ExitStack() as stack:
        yield lambda url, **further: stack.enter_context(closing(Registry(settings(url, **further))))


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    """Makes readers of a `vedette.schemas` on which nothing stands."""
    monkeypatch.setattr(SchemaTopic, "read_on", lambda _: None)
    with ExitStack() as stack:

        def made(url: str) -> tuple[Schemas, SchemaTopic]:
            schemas = Schemas()
            return schemas, stack.enter_context(closing(SchemaTopic(settings(url), schemas)))

        yield made


def settings(url: str, **further: Any) -> Settings:
    return Settings(schema_registry=url, **further)


def put(server: Server, text: str, kind: str = "AVRO") -> bytes:
    """Registers a schema and returns the prefix of what is written by it."""
    status, told = server.known.register("any", {"schema": text, "schemaType": kind})
    assert status == 200
    assert isinstance(told, dict)
    return b"\x00" + int(told["id"]).to_bytes(4, "big")


def with_field(name: str, **further: Any) -> str:
    schema = json.loads(schema_text(Tick))
    schema["fields"].append({"name": name, "type": "string", **further})
    return json.dumps(schema)


def test_a_schema_is_registered_under_the_name_of_its_topic_and_fixed_to_full_transitive(
    server: Server, ask: Ask
) -> None:
    asked = ask(server.url, topic_prefix="acme.")
    assert [asked.register(Score), asked.register(Example), asked.register(Score)] == [
        b"\x00\x00\x00\x00\x01",
        b"\x00\x00\x00\x00\x02",
        b"\x00\x00\x00\x00\x01",
    ]
    assert server.known.subjects == {"acme.vedette.scores-value": [1], "acme.vedette.examples-value": [2]}
    assert server.known.levels == dict.fromkeys(server.known.subjects, "FULL_TRANSITIVE")


def test_a_record_of_several_topics_has_one_id_under_all_of_them(server: Server, ask: Ask) -> None:
    assert ask(server.url).register(ScoreRequest) == b"\x00\x00\x00\x00\x01"
    classes = ("code", "hosted", "judge")
    assert server.known.subjects == {f"vedette.score-requests.{name}-value": [1] for name in classes}


def test_the_second_kind_of_record_on_a_topic_has_a_subject_of_its_own(server: Server, ask: Ask) -> None:
    asked = ask(server.url)
    asked.register(Tick)
    asked.register(RuleEvent)
    assert server.known.subjects["vedette.rule-events-value"] == [2]
    assert server.known.subjects["vedette.rule-events-vedette.Tick"] == [1]


def test_what_another_producer_wrote_down_in_another_order_is_the_same_schema(server: Server, ask: Ask) -> None:
    """Normalised: a release that writes the same schema with other spaces makes no new version."""
    schema = json.loads(schema_text(Example))
    text = json.dumps(dict(reversed(schema.items())), indent=2)
    server.known.register("vedette.examples-value", {"schema": text}, normalise=True)
    assert ask(server.url).register(Example) == b"\x00\x00\x00\x00\x01"
    assert server.known.subjects == {"vedette.examples-value": [1]}


def test_a_compatibility_that_an_operator_set_stays_and_is_told(server: Server, ask: Ask) -> None:
    server.known.levels["vedette.scores-value"] = "BACKWARD"
    with capture_logs() as logs:
        ask(server.url).register(Score)
    assert server.known.levels == {"vedette.scores-value": "BACKWARD"}
    assert [(line["subject"], line["level"], line["fix"]) for line in logs] == [
        ("vedette.scores-value", "BACKWARD", "FULL_TRANSITIVE")
    ]


def test_a_schema_that_the_subject_forbids_ends_the_job_with_the_reason(server: Server, ask: Ask) -> None:
    needed = json.loads(schema_text(Example))
    needed["fields"].append({"name": "needed", "type": "string"})
    server.known.levels["vedette.examples-value"] = "FULL_TRANSITIVE"
    server.known.register("vedette.examples-value", {"schema": json.dumps(needed)})
    with pytest.raises(
        Refused, match=r"of Example for vedette\.examples-value.*READER_FIELD_MISSING_DEFAULT_VALUE needed.*409"
    ):
        ask(server.url).register(Example)


def test_a_record_is_read_by_id_and_by_guid_in_prefix_and_header(server: Server, reading: Reading) -> None:
    prefix, by_guid = put(server, schema_text(Tick)), b"\x01" + guid(schema_text(Tick)).bytes
    schemas, topic = reading(server.url)
    for data, header in ((prefix + BODY, b""), (BODY, prefix), (by_guid + BODY, b""), (BODY, by_guid)):
        for _ in range(2):
            try:
                assert schemas.decode(Tick, data, header) == TICK
            except UnknownSchema as unknown:
                topic.wait_for(unknown)
                assert schemas.decode(Tick, data, header) == TICK
    assert schemas.decode(Tick, encode(TICK)) == TICK
    assert server.known.asked == ["GET /schemas/ids/1"]  # the answer told the GUID too, and the client kept it


def test_a_guid_is_asked_for_by_itself(server: Server, reading: Reading) -> None:
    put(server, schema_text(Tick))
    schemas, topic = reading(server.url)
    header = b"\x01" + guid(schema_text(Tick)).bytes
    topic.wait_for(UnknownSchema(header))
    assert schemas.decode(Tick, BODY, header) == TICK
    assert server.known.asked == [f"GET /schemas/guids/{guid(schema_text(Tick))}"]


def test_what_a_newer_writer_added_is_left_out(server: Server, reading: Reading) -> None:
    prefix = put(server, with_field("mood", default=""))
    schemas, topic = reading(server.url)
    topic.wait_for(UnknownSchema(prefix))
    assert schemas.decode(Tick, prefix + BODY + b"\x08good") == TICK


def test_a_registry_that_is_away_is_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch, reading: Reading
) -> None:
    prefix = put(server, schema_text(Tick))
    schemas, topic = reading(server.url)
    server.known.away = True
    with pytest.raises(UnknownSchema, match="id 1 of the schema registry"):
        topic.wait_for(UnknownSchema(prefix), patience_s=-1)
    pauses: list[float] = []

    def back(seconds: float) -> None:
        pauses.append(seconds)
        server.known.away = len(pauses) < 3

    monkeypatch.setattr(time, "sleep", back)
    with capture_logs() as logs:
        topic.wait_for(UnknownSchema(prefix))
    assert len(pauses) == 3
    assert {line["reason"].partition(":")[0] for line in logs} == {"the schema registry does not tell id 1"}
    assert schemas.decode(Tick, prefix + BODY) == TICK


def test_a_server_that_is_no_registry_or_not_there_is_away_and_denies_nothing(server: Server, ask: Ask) -> None:
    for url in (f"{server.url}/wrong", "http://127.0.0.1:9"):
        with pytest.raises(Transient, match="the schema registry does not"):
            ask(url).schema(b"\x00\x00\x00\x00\x01")
        with pytest.raises(Transient, match="the schema registry does not"):
            ask(url).register(Tick)
        with pytest.raises(Transient, match="the schema registry does not"):
            ask(url).enter()


def test_an_id_that_the_registry_denies_is_undecodable_after_the_third_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch, reading: Reading
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    schemas, topic = reading(server.url)
    frame = b"\x00\x00\x00\x00\x63"
    topic.wait_for(UnknownSchema(frame))
    with pytest.raises(Undecodable, match=r"the schema registry does not have id 99: Schema 99 not found.*40403"):
        schemas.decode(Tick, frame + BODY)
    assert server.known.asked == ["GET /schemas/ids/99"] * 3


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ('{"type": "object"}', "JSON", "is JSON"),
        ('{"type": "record"', "AVRO", "cannot be used: JSONDecodeError"),
        ('{"type": "record", "name": "n.Order", "fields": []}', "AVRO", r"not a Tick but a n\.Order"),
        ('"string"', "AVRO", "cannot be used: ValueError: not the schema of a record"),
        (schema_text(Delivery), "AVRO", r"not a Tick but a vedette\.Delivery"),
    ],
)
def test_a_foreign_schema_is_undecodable(
    server: Server, text: str, kind: str, told: str, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    frame = put(server, text, kind)
    schemas, topic = reading(server.url)
    topic.wait_for(UnknownSchema(frame))
    with pytest.raises(Undecodable, match=told):
        schemas.decode(Tick, frame + BODY)


def test_without_a_registry_its_records_are_undecodable_and_say_which_setting_reads_them(reading: Reading) -> None:
    schemas, topic = reading("")
    topic.wait_for(UnknownSchema(b"\x00\x00\x00\x00\x07"))
    with pytest.raises(
        Undecodable, match="written by id 7 of the schema registry, and VEDETTE_SCHEMA_REGISTRY names none"
    ):
        schemas.decode(Tick, b"\x00\x00\x00\x00\x07" + BODY)


@pytest.mark.parametrize("header", [b"\x00\x01", b"\x07" * 17, b"\x01" * 16, b"\xc3\x02" + bytes(8)])
def test_a_header_that_names_no_schema_is_undecodable(header: bytes) -> None:
    with pytest.raises(Undecodable, match="neither Avro single-object encoding nor a schema registry's"):
        Schemas().decode(Tick, BODY, header)


def test_user_and_password_stand_in_the_url_or_in_the_settings_of_the_client(ask: Ask) -> None:
    with registry(credentials=base64.b64encode(b"me:secret").decode()) as server:
        put(server, schema_text(Tick))
        address = server.url.removeprefix("http://")
        within = ask(f"http://me:secret@{address}")
        beside = ask(server.url, schema_registry_client={"basic_auth_user_info": "me:secret"})
        for asked in (within, beside):
            assert asked.schema(b"\x00\x00\x00\x00\x01") == schema_text(Tick)
        with pytest.raises(Transient, match="401"):
            ask(server.url).schema(b"\x00\x00\x00\x00\x01")


def test_wrong_credentials_are_told_at_the_start_and_not_waited_for() -> None:
    with registry(credentials=base64.b64encode(b"me:secret").decode()) as server:
        wrong = settings(server.url.replace("//", "//me:guess@"))
        with pytest.raises(Refused, match=r"does not know us: Unauthorized.*401.*VEDETTE_SCHEMA_REGISTRY") as told:
            schema_topic.publish(wrong, NO_PRODUCER)
    assert "guess" not in str(told.value)


def test_who_may_not_write_is_told_the_subject(server: Server, ask: Ask) -> None:
    server.known.forbidden = True
    with pytest.raises(Refused, match=r"compatibility of vedette\.scores-value.*denied operation Write.*403"):
        ask(server.url).register(Score)


def test_a_registry_that_is_away_when_a_job_starts_is_waited_for_and_that_is_said(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.known.away = True
    pauses: list[float] = []

    def back(seconds: float) -> None:
        pauses.append(seconds)
        server.known.away = len(pauses) < 9

    monkeypatch.setattr(time, "sleep", back)
    with capture_logs() as logs:
        schema_topic.publish(settings(server.url), NO_PRODUCER)
    assert len(pauses) == 9
    assert {line["event"] for line in logs} == {"waiting for the schema registry"}
    assert "the leader is away" in logs[0]["reason"]


@pytest.mark.parametrize(
    "url", ["me:secret@host:8081", "ftp://me:secret@host", "http://me:se/cret@host", "http://host:x"]
)
def test_a_url_that_is_none_is_told_without_its_password(url: str) -> None:
    with pytest.raises(RuntimeError, match=r"is not http\(s\)://user:password@host:port") as told:
        Registry(settings(url))
    assert "cret" not in str(told.value)


def test_several_urls_of_one_registry_are_asked_in_turn(server: Server, ask: Ask) -> None:
    put(server, schema_text(Tick))
    assert ask(f"http://127.0.0.1:9,{server.url}").schema(b"\x00\x00\x00\x00\x01") == schema_text(Tick)


@pytest.mark.parametrize(
    ("further", "told"),
    [
        ({"colour": "red"}, "Unrecognized properties: colour"),
        ({"max_retries": "many"}, "max.retries must be a number"),
        ({"ssl_ca_location": "/no/such/file"}, "No such file"),
    ],
)
def test_a_wrong_setting_of_the_client_is_told_at_the_start(further: dict[str, str], told: str) -> None:
    with pytest.raises(RuntimeError, match=rf"VEDETTE_SCHEMA_REGISTRY_CLIENT__\*: .*{told}"):
        Registry(settings("http://127.0.0.1:9", schema_registry_client=further))
