"""The plain loop on a real Kafka: what is bad is put aside, what is good is never lost, and it goes on by itself."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.cimpl import NewTopic

from schemas.codec import encode, fingerprint_of, schema_text
from schemas.example import Example
from schemas.ids import partition_of, record_key
from schemas.topics import Topic
from sinks.sink import Permanent, Transient
from streams import kafka as clients
from streams.local import kafka as broker
from streams.loop import Loop
from streams.records import Handle, Out, Received
from streams.settings import Settings
from tests.support.echo import READS
from tests.support.jobs import Installation, Job

pytestmark = pytest.mark.integration

ECHO = "tests.support.echo"


def example(name: str, **further: object) -> Example:
    return Example.model_validate({"project": "default", "example_id": name, "fields": b"{}", **further})


def key(name: str) -> bytes:
    return record_key("default", name)


def put(installation: Installation, *names: str, partition: int = -1) -> None:
    for name in names:
        installation.put(Topic.EXAMPLES, key(name), example(name), partition=partition)
    installation.flush()


def echoed(installation: Installation) -> list[str]:
    return [record.example_id for record in installation.records(Topic.SCORES, Example)]


def echo(batch: Sequence[Received]) -> list[Out]:
    return [Out(Topic.SCORES, received.key, received.of(Example)) for received in batch]


@contextmanager
def running(installation: Installation, handle: Handle = echo, **settings: object) -> Iterator[Future[None]]:
    """A loop in a thread of this process."""
    loop = Loop("echo", installation.settings.model_copy(update=settings), READS, handle, (Example,), patience_s=1)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(loop.run)
        try:
            yield future
        finally:
            loop.stopping.set()
    if future.exception() is None:
        future.result()


def test_what_cannot_be_decoded_goes_to_the_dlq_and_the_job_goes_on(installation: Installation) -> None:
    put(installation, "before", partition=1)
    own = {"traceparent": b"00-1", "vedette-project": b"acme"}
    installation.put(Topic.EXAMPLES, b"k", b"garbage", headers=own, partition=1)
    put(installation, "after", partition=1)
    with running(installation):
        installation.until(lambda: len(echoed(installation)) == 2)
        installation.until(lambda: len(installation.messages(Topic.DLQ)) == 1)
    assert echoed(installation) == ["before", "after"]
    stood = next(m for m in installation.messages(Topic.EXAMPLES) if m.value() == b"garbage")
    (dead,) = installation.messages(Topic.DLQ)
    assert (dead.key(), dead.value()) == (b"k", b"garbage")
    assert dict(dead.headers() or ()) == {
        **own,
        "vedette-error-class": b"Undecodable",
        "vedette-error-message": b"neither Avro single-object encoding nor a schema registry's: begins with 67617262616765",
        "vedette-error-job": b"echo",
        "vedette-error-topic": b"vedette.examples",
        "vedette-error-partition": b"1",
        "vedette-error-offset": b"1",
        "vedette-ingested-at": str(stood.timestamp()[1]).encode(),
    }


def test_a_record_of_another_class_and_a_false_ingest_time_are_dead_letters_too(installation: Installation) -> None:
    def ingested(batch: Sequence[Received]) -> list[Out]:
        return [Out(Topic.SCORES, r.key, example(f"{r.ingested_at}")) for r in batch]

    installation.put(Topic.EXAMPLES, b"k", example("old"), headers={"vedette-ingested-at": b"17"}, partition=0)
    installation.put(Topic.EXAMPLES, b"k", example("false"), headers={"vedette-ingested-at": b"noon"}, partition=0)
    installation.put(Topic.EXAMPLES, b"k", b"", partition=0)
    installation.put(Topic.EXAMPLES, b"k", example("null"), headers={"vedette-project": None}, partition=0)  # type: ignore[dict-item]
    installation.flush()
    with running(installation, ingested):
        installation.until(lambda: len(echoed(installation)) == 3)
        installation.until(lambda: len(installation.messages(Topic.DLQ)) == 1)
    assert echoed(installation)[0] == "17"
    (dead,) = installation.messages(Topic.DLQ)
    headers = dict(dead.headers() or ())
    assert (headers["vedette-error-class"], headers["vedette-ingested-at"]) == (b"ValueError", b"noon")


def test_too_many_undecodable_records_in_a_row_stop_the_job_loudly(installation: Installation) -> None:
    for number in range(20):
        installation.put(Topic.EXAMPLES, b"k", b"one bad one", partition=0)
        installation.put(Topic.EXAMPLES, key(f"good {number}"), example(f"good {number}"), partition=0)
    for _ in range(5):
        installation.put(Topic.EXAMPLES, b"k", b"\xc3\x01", partition=0)
    installation.flush()
    with running(installation, dlq_limit=5) as future:
        error = future.exception(timeout=30)
    assert isinstance(error, RuntimeError)
    assert str(error) == (
        "5 records in a row cannot be read on vedette.examples, which our own jobs write: a bad release? The last one: "
        "neither Avro single-object encoding nor a schema registry's: begins with c301. They are on vedette.dlq; VEDETTE_DLQ_LIMIT raises the limit"
    )
    assert Counter(m.value() for m in installation.messages(Topic.DLQ)) == {b"one bad one": 20, b"\xc3\x01": 5}


def test_a_transient_failure_is_tried_again_in_order_and_dead_letters_are_written_once(
    installation: Installation,
) -> None:
    failures = iter([Transient("away", retry_after_s=0.2), Transient("away", retry_after_s=0.2)])
    batches: list[list[int]] = []

    def hesitate(batch: Sequence[Received]) -> list[Out]:
        batches.append([received.offset for received in batch])
        if failure := next(failures, None):
            raise failure
        return echo(batch)

    names = [f"e{number}" for number in range(50)]
    put(installation, *names[:25], partition=0)
    installation.put(Topic.EXAMPLES, b"k", b"garbage", partition=0)
    put(installation, *names[25:], partition=0)
    with running(installation, hesitate):
        installation.until(lambda: len(echoed(installation)) >= 50)
        put(installation, "later", partition=0)
        installation.until(lambda: len(echoed(installation)) >= 51)
    in_partition = [m.value() for m in installation.messages(Topic.SCORES)]
    assert sorted(echoed(installation)) == sorted([*names, "later"])
    assert len(in_partition) == 51
    assert batches[0] == batches[1] == batches[2]  # the partition was kept: nothing was read anew
    assert len(installation.messages(Topic.DLQ)) == 1


def test_of_five_hundred_records_only_the_one_that_its_handler_refuses_is_a_dead_letter(
    installation: Installation,
) -> None:
    def refuse(batch: Sequence[Received]) -> list[Out]:
        if any(received.of(Example).example_id == "e137" for received in batch):
            raise Permanent("e137 is not welcome")
        return echo(batch)

    names = [f"e{number}" for number in range(500)]
    put(installation, *names)
    with running(installation, refuse):
        installation.until(lambda: len(echoed(installation)) >= 499)
        installation.until(lambda: len(installation.messages(Topic.DLQ)) == 1)
    assert sorted(echoed(installation)) == sorted(set(names) - {"e137"})
    (dead,) = installation.messages(Topic.DLQ)
    headers = dict(dead.headers() or ())
    assert (dead.value(), dead.key()) == (encode(example("e137")), key("e137"))
    assert (headers["vedette-error-class"], headers["vedette-error-message"]) == (b"Permanent", b"e137 is not welcome")


def test_a_record_whose_outcome_cannot_be_written_is_a_dead_letter_and_the_job_goes_on(
    installation: Installation,
) -> None:
    def swell(batch: Sequence[Received]) -> list[Out]:
        size = 17 * 1024 * 1024 if any(r.of(Example).example_id == "large" for r in batch) else 1
        broken = {"sampling_rate": "not a number"} if any(r.of(Example).example_id == "odd" for r in batch) else {}
        made = Example.model_construct(project="p", example_id="made", fields=b"x" * size, **broken)
        return [Out(Topic.SCORES, received.key, made) for received in batch]

    put(installation, "a", "large", "odd", "b", partition=0)
    with running(installation, swell):
        installation.until(lambda: len(echoed(installation)) == 2)
        installation.until(lambda: len(installation.messages(Topic.DLQ)) == 2)
    told = [dict(m.headers() or ())["vedette-error-message"] for m in installation.messages(Topic.DLQ)]
    assert any(b"more than Kafka takes" in text for text in told)
    assert {m.value() for m in installation.messages(Topic.DLQ)} == {encode(example("large")), encode(example("odd"))}


def test_an_unknown_writer_schema_is_waited_for_and_never_dead_lettered(installation: Installation) -> None:
    class Newer(Example):
        mood: str = ""

    text = schema_text(Newer).replace('"Newer"', '"Example"')
    payload = bytearray(encode(Newer(project="default", example_id="from the future", fields=b"{}", mood="good")))
    payload[2:10] = bytes.fromhex(fingerprint_of(text))
    installation.put(Topic.SCHEMAS, b"broken", b"this is no schema")
    installation.put(Topic.EXAMPLES, key("from the future"), bytes(payload), partition=0)
    put(installation, "behind it", partition=0)
    with running(installation):
        time.sleep(3)
        assert echoed(installation) == []
        installation.put(Topic.SCHEMAS, fingerprint_of(text).encode(), text.encode())
        installation.flush()
        installation.until(lambda: len(echoed(installation)) == 2)
    assert sorted(echoed(installation)) == ["behind it", "from the future"]
    assert installation.messages(Topic.DLQ) == []


def test_killed_in_the_middle_of_five_thousand_records_it_loses_none(installation: Installation) -> None:
    names = [f"e{number}" for number in range(5000)]
    (job,) = installation.start(ECHO)
    put(installation, *names)
    installation.until(lambda: len(installation.messages(Topic.SCORES)) >= 1000, every_s=0.05)
    job.kill()
    before = len(installation.messages(Topic.SCORES))
    (again,) = installation.start(ECHO)
    installation.until(lambda: set(echoed(installation)) == set(names))
    assert again.terminate() == 0
    assert 1000 <= before < 5000
    assert len(echoed(installation)) <= 5000 + 2 * 100  # what was in flight, one batch, comes twice at most
    assert installation.messages(Topic.DLQ) == []


def test_two_workers_share_the_partitions_and_one_takes_over_from_the_other(installation: Installation) -> None:
    def read_by(job: Job) -> float:
        lines = [line for line in job.get("/metrics").splitlines() if line.startswith("vedette_records_total{")]
        return sum(float(line.split()[-1]) for line in lines)

    one, two = installation.start(ECHO, ECHO)

    def both_work() -> bool:
        put(installation, "left", partition=0)
        put(installation, "right", partition=1)
        return read_by(one) > 0 and read_by(two) > 0

    installation.until(both_work)
    assert one.terminate() == 0
    put(installation, "for the other", partition=0)
    put(installation, "for the other too", partition=1)
    installation.until(lambda: {"for the other", "for the other too"} <= set(echoed(installation)))
    assert two.terminate() == 0
    assert Counter(echoed(installation)) == Counter(m.example_id for m in installation.records(Topic.EXAMPLES, Example))


@pytest.mark.faults
def test_it_goes_on_by_itself_when_kafka_comes_back(tmp_path: Path) -> None:
    server = broker.start(tmp_path / "kafka")
    settings = Settings(bootstrap_servers=server.bootstrap, partitions=2)
    installation = Installation(settings, tmp_path)
    try:
        installation.configure(
            "Scorer", "s", {"type": "contains", "with": {"any": ["x"]}, "online": [{"target": "example"}]}
        )
        installation.in_effect()
        plain, of_faust = installation.start(ECHO, "sample")
        put(installation, "before")
        installation.until(lambda: len(installation.messages(Topic.REQUESTS_CODE)) == 1)
        broker.stop(server)
        time.sleep(3)
        server = broker.start(tmp_path / "kafka")
        put(installation, "after")
        installation.until(lambda: set(echoed(installation)) == {"before", "after"})
        installation.until(
            lambda: {m.key() for m in installation.messages(Topic.REQUESTS_CODE)} == {key("before"), key("after")}
        )
        assert plain.process.poll() is None
        assert of_faust.process.poll() is None
    finally:
        installation.stop()
        broker.stop(server)


def test_missing_topics_stop_it_with_a_clear_message(kafka: str, topic_prefix: str, installation: Installation) -> None:
    elsewhere = f"{topic_prefix}none."
    (job,) = installation.start(ECHO, ready=False, topic_prefix=elsewhere)
    assert job.wait() == 1
    assert f"topic {elsewhere}vedette.examples: does not exist (run `vedette topics`)" in job.log()


def test_a_source_topic_without_append_time_is_refused(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers=kafka, topic_prefix=topic_prefix, partitions=2)
    name = clients.topic_name(settings, Topic.EXAMPLES)
    admin = clients.admin(settings)
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    installation = Installation(settings, tmp_path)
    with running(installation) as future:
        error = future.exception(timeout=30)
    assert str(error) == (
        f"topic {name}: message.timestamp.type is CreateTime, not LogAppendTime "
        f"(kafka-configs --alter --topic {name} --add-config message.timestamp.type=LogAppendTime)"
    )


def test_a_signal_while_it_waits_for_kafka_ends_it_at_once(installation: Installation) -> None:
    (job,) = installation.start(ECHO, ready=False, bootstrap_servers="127.0.0.1:1")
    installation.until(job.answers)
    assert job.terminate(5) == -15


def test_our_partitioner_is_kafkas(installation: Installation) -> None:
    keys = [key(f"{number}-ä-{'x' * (number % 7)}") for number in range(500)]
    for one in keys:
        installation.put(Topic.EXAMPLES, one, b"")
    installation.flush()
    stand = {m.key(): m.partition() for m in installation.messages(Topic.EXAMPLES)}
    assert stand == {one: partition_of(one, 2) for one in keys}
