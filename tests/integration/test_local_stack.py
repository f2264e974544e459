"""The stack of one machine: real Kafka, real ClickHouse, real crashes."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.local import clickhouse as clickhouse_server
from streams.local import kafka as kafka_broker
from streams.local.clickhouse import ClickHouseError
from streams.local.datadir import DataDir
from streams.local.restarts import State
from streams.local.stack import LocalStack, recorded

pytestmark = pytest.mark.integration


def create_topic(bootstrap, topic, **config):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, num_partitions=1, config=config)])[topic].result(20)


def produce(bootstrap, topic, value, **config):
    failures = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": 20_000, **config})
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(30) == 0
    return failures[0]


def consume(bootstrap, topic, group="g"):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 17 * 1024 * 1024,
            "receive.message.max.bytes": 80 * 1024 * 1024,
        }
    )
    consumer.subscribe([topic])
    message = consumer.poll(30)
    consumer.close()
    return message and message.value()


def eventually(condition, timeout=30.0):
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def test_a_record_survives_a_killed_broker_on_the_same_port(tmp_path):
    first = kafka_broker.start(tmp_path)
    create_topic(first.bootstrap, "kept")
    assert produce(first.bootstrap, "kept", b"still here", acks="all") is None
    first.process.kill()
    first.process.wait()
    second = kafka_broker.start(tmp_path)
    try:
        assert second.port == first.port
        assert consume(second.bootstrap, "kept") == b"still here"
    finally:
        kafka_broker.stop(second)


def test_a_record_of_sixteen_mebibytes_passes(kafka, topic_prefix):
    topic = f"{topic_prefix}large"
    create_topic(kafka, topic)
    value = os.urandom(kafka_broker.MAX_RECORD_BYTES - 1024)
    limit = kafka_broker.MAX_RECORD_BYTES + 64 * 1024
    assert produce(kafka, topic, value, **{"message.max.bytes": limit}) is None
    assert consume(kafka, topic, group=topic) == value


def test_an_unknown_topic_is_not_created(kafka, topic_prefix):
    error = produce(kafka, f"{topic_prefix}typo", b"x", **{"topic.metadata.propagation.max.ms": 100})
    assert error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
    assert f"{topic_prefix}typo" not in AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics


def test_an_administrator_reads_back_the_configuration_of_a_topic(kafka, topic_prefix):
    create_topic(kafka, f"{topic_prefix}stamped", **{"message.timestamp.type": "LogAppendTime"})
    topics = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    assert len(topics[f"{topic_prefix}stamped"].partitions) == 1


def test_rows_survive_a_killed_clickhouse_on_the_same_port_with_the_same_password(tmp_path):
    first = clickhouse_server.start(tmp_path)
    client = clickhouse_connect.get_client(dsn=first.login())
    client.command("CREATE DATABASE vedette")
    client.command("CREATE TABLE vedette.kept (a UInt32) ENGINE MergeTree ORDER BY a")
    client.insert("vedette.kept", [[7]], ["a"])
    leftover = tmp_path / "tmp" / "half-written"
    leftover.write_text("a prompt")
    first.process.kill()
    first.process.wait()
    second = clickhouse_server.start(tmp_path)
    try:
        assert (second.port, second.login()) == (first.port, first.login())
        reader = clickhouse_connect.get_client(dsn=second.login("vedette_read"))
        assert reader.query("SELECT a FROM vedette.kept").result_rows == [(7,)]
        assert not leftover.exists()
    finally:
        clickhouse_server.stop(second)


@pytest.fixture
def reader(clickhouse_read, clickhouse, database):
    """A client of the reading user; the database has one table with one row."""
    writer = clickhouse_connect.get_client(dsn=clickhouse)
    writer.command(f"CREATE TABLE {database}.scores (value Float64) ENGINE MergeTree ORDER BY value")
    writer.insert(f"{database}.scores", [[0.5]], ["value"])
    return clickhouse_connect.get_client(dsn=clickhouse_read)


def test_the_reading_user_reads(reader, database):
    assert reader.query("SELECT value FROM scores", settings={"database": database}).result_rows == [(0.5,)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {database}.scores VALUES (1)",
        "CREATE TABLE {database}.mine (a UInt8) ENGINE Memory",
        "DROP TABLE {database}.scores",
        "ALTER TABLE {database}.scores DELETE WHERE 1",
        "SELECT * FROM url('http://127.0.0.1:1/', 'TSV', 'a String')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1', '{database}', 'scores')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'TSV', 'a String')",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "INSERT INTO FUNCTION file('out.tsv', 'TSV', 'a UInt8') VALUES (1)",
        "CREATE TEMPORARY TABLE mine (a UInt8)",
        "SELECT * FROM system.users",
        "SELECT query FROM system.processes",
        "SELECT * FROM system.server_settings",
        "KILL QUERY WHERE 1",
        "SYSTEM STOP LISTEN HTTP",
    ],
)
def test_the_reading_user_may_not_write_nor_reach_outside(reader, database, statement):
    with pytest.raises(DatabaseError, match=r"Not enough privileges|getcwd failed"):
        reader.command(statement.format(database=database))


@pytest.mark.parametrize("call", ["file('/etc/hostname')", "file('/etc/hostname', '')", "file('config.xml', NULL)"])
def test_the_sql_function_file_reads_nothing(reader, call):
    with pytest.raises(DatabaseError, match="getcwd failed"):
        reader.query(f"SELECT {call}")


def test_other_databases_are_closed_to_the_reading_user(reader, clickhouse):
    writer = clickhouse_connect.get_client(dsn=clickhouse)
    writer.command("CREATE DATABASE closed")
    writer.command("CREATE TABLE closed.secrets (a UInt8) ENGINE Memory")
    with pytest.raises(DatabaseError, match="Not enough privileges"):
        reader.query("SELECT * FROM closed.secrets")
    writer.command("DROP DATABASE closed")


@pytest.mark.parametrize("statement", ["SYSTEM STOP LISTEN HTTP", "SELECT count() FROM numbers(10)"])
def test_nobody_gets_in_without_a_password(clickhouse, statement):
    address = clickhouse.rpartition("@")[2]
    with pytest.raises(DatabaseError):
        clickhouse_connect.get_client(dsn=f"http://{address}").command(statement)
    assert clickhouse_connect.get_client(dsn=clickhouse).query("SELECT 1").result_rows == [(1,)]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (clickhouse_server, ClickHouseError, "another ClickHouse runs on"),
        (kafka_broker, kafka_broker.KafkaError, "another Kafka runs on"),
    ],
)
def test_of_two_starts_on_one_directory_one_succeeds_and_the_other_says_why_not(tmp_path, kind, error, message):
    with ThreadPoolExecutor(2) as pool:
        attempts = [pool.submit(kind.start, tmp_path) for _ in range(2)]
        lost = [attempt.exception() for attempt in attempts if attempt.exception()]
        won = [attempt.result() for attempt in attempts if not attempt.exception()]
        for server in won:
            kind.stop(server)
    assert [type(exception) for exception in lost] == [error]
    assert message in str(lost[0])
    assert len(won) == 1


def test_a_crashed_broker_and_a_crashed_clickhouse_come_back_where_they_were(tmp_path):
    data = DataDir(tmp_path / "Grüße, R & D")
    with LocalStack(data) as stack:
        stack.start_servers()
        create_topic(stack.bootstrap_servers, "kept")
        produce(stack.bootstrap_servers, "kept", b"still here", acks="all")
        clickhouse_connect.get_client(dsn=stack.clickhouse_url).command("CREATE DATABASE vedette")
        before = stack.supervisor.lives()
        for life in before.values():
            os.kill(life.pid, signal.SIGKILL)
        eventually(lambda: stack.state() == "degraded")
        eventually(lambda: stack.state() == "ready")
        assert {name: process["restarts"] for name, process in recorded(data)["processes"].items()} == {
            "kafka": 1,
            "clickhouse": 1,
        }
        assert consume(stack.bootstrap_servers, "kept") == b"still here"
        client = clickhouse_connect.get_client(dsn=stack.clickhouse_url)
        assert client.query("SELECT name FROM system.databases WHERE name = 'vedette'").result_rows == [("vedette",)]
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert {life.state for life in stack.supervisor.lives().values()} == {State.STOPPED}


def test_a_broker_that_is_gone_does_not_answer(tmp_path):
    server = kafka_broker.start(tmp_path)
    assert kafka_broker.answers(server.bootstrap)
    kafka_broker.stop(server)
    assert not kafka_broker.answers(server.bootstrap)
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0}).list_topics(timeout=0.5)
