import hashlib
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from jgo.maven import MavenContext

from streams.local.jars import LOCK, ROOTS, Jar, JarError, fetch, read_lock, write_lock

GOOD = b"the right jar"
JAR = Jar("org.example:thing:1.0", hashlib.sha256(GOOD).hexdigest())
PATH = "org/example/thing/1.0/thing-1.0.jar"


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def repository(tmp_path):
    """A Maven repository with one jar in it, and a context whose cache is empty."""
    served = tmp_path / "served"
    jar = served / PATH
    jar.parent.mkdir(parents=True)
    jar.write_bytes(GOOD)
    jar.with_name(jar.name + ".sha1").write_text(hashlib.sha1(GOOD, usedforsecurity=False).hexdigest())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietFiles, directory=served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield MavenContext(
        repo_cache=tmp_path / "cache", remote_repos={"test": f"http://127.0.0.1:{server.server_port}"}, timeout=5
    )
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path):
    file = tmp_path / "some.lock"
    file.write_text(write_lock([JAR]))
    return file


def test_a_lock_says_what_was_written_sorted():
    other = Jar("a.b:c:2", "00")
    assert read_lock(write_lock([JAR, other])) == [other, JAR]


def test_the_committed_lock_names_only_coordinates_and_hashes_and_has_the_roots():
    text = LOCK.read_text()
    entries = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+:[\w.-]+:[\w.-]+ [0-9a-f]{64}", entry) for entry in entries)
    assert set(ROOTS) < {jar.coordinates for jar in read_lock(text)}
    assert "/" not in text.replace("group:artifact:version", "")
    assert "://" not in text


def test_the_kafka_client_in_the_lock_is_as_new_as_the_broker():
    coordinates = {jar.coordinates for jar in read_lock(LOCK.read_text())}
    broker = ROOTS[0].rsplit(":", 1)[1]
    assert f"org.apache.kafka:kafka-clients:{broker}" in coordinates


def test_a_missing_jar_is_downloaded_once(repository, lock):
    file = repository.repo_cache / PATH
    assert fetch(lock, repository) == [file]
    assert file.read_bytes() == GOOD
    before = file.stat().st_mtime_ns
    assert fetch(lock, repository) == [file]
    assert file.stat().st_mtime_ns == before


def test_a_jar_that_is_damaged_in_the_cache_is_downloaded_again(repository, lock):
    file = repository.repo_cache / PATH
    file.parent.mkdir(parents=True)
    file.write_bytes(GOOD[:5])
    fetch(lock, repository)
    assert file.read_bytes() == GOOD


def test_a_jar_that_is_not_the_locked_one_is_refused_by_name_and_does_not_stay(repository, lock):
    lock.write_text(write_lock([Jar(JAR.coordinates, "0" * 64)]))
    with pytest.raises(JarError, match=r"org\.example:thing:1\.0 is not the jar"):
        fetch(lock, repository)
    assert not (repository.repo_cache / PATH).exists()


def test_a_jar_that_cannot_be_had_is_named(repository, lock):
    lock.write_text(write_lock([Jar("org.example:absent:1.0", "0" * 64)]))
    with pytest.raises(JarError, match=r"cannot fetch org\.example:absent:1\.0"):
        fetch(lock, repository)
