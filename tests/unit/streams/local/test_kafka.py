from pathlib import Path

from streams.local.java import Java
from streams.local.kafka import MAX_RECORD_BYTES, java_command, properties


def settings(text):
    return dict(line.split("=", 1) for line in text.splitlines())


def test_every_listener_is_on_loopback():
    told = settings(properties(port=19092, controller_port=19093))
    assert told["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert told["advertised.listeners"] == "PLAINTEXT://127.0.0.1:19092"


def test_topics_are_never_created_by_a_typing_error():
    assert settings(properties(1, 2))["auto.create.topics.enable"] == "false"


def test_a_record_of_sixteen_mebibytes_fits_into_batch_fetch_and_request():
    told = {key: int(value) for key, value in settings(properties(1, 2)).items() if value.isdigit()}
    assert told["message.max.bytes"] > MAX_RECORD_BYTES
    assert told["replica.fetch.max.bytes"] >= told["message.max.bytes"]
    assert told["socket.request.max.bytes"] > told["message.max.bytes"]
    assert told["fetch.max.bytes"] > told["message.max.bytes"]


def test_an_option_that_older_javas_do_not_know_is_given_to_newer_ones_only():
    option = "--sun-misc-unsafe-memory-access=allow"
    jars = [Path("/a.jar"), Path("/b.jar")]
    new, old = java_command(Java("/java", 25), jars), java_command(Java("/java", 17), jars)
    assert option in new
    assert option not in old
    assert new[0] == old[0] == "/java"
    assert new[-2:] == old[-2:] == ["-cp", "/a.jar:/b.jar"]
