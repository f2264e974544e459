"""Apache Kafka on one machine: one KRaft node in a process of its own, everything on loopback.

    python -m streams.local.kafka run DIR PORT      the broker in the foreground; SIGTERM stops it
    python -m streams.local.kafka lock              resolves Kafka's jars anew and rewrites kafka-jars.lock

`DIR` holds configuration and log; a second start goes on from it. Nothing but Python packages is needed: `java.py`
finds the runtime, `jars.py` fetches and verifies the jars. One node has no replica to fall back on, but the log
survives `kill -9`: what was acknowledged is in the page cache of the machine.
"""

from __future__ import annotations

import base64
import logging
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.local import pidlock
from streams.local.jars import LOCK, JarError, fetch, relock
from streams.local.java import Java, NoJavaError, find_java
from streams.local.ports import LOOPBACK, free_port, kept_port
from streams.local.tether import tethered

PORT_OPTION = "--kafka-port"
_LOCK = "server.lock"
MAX_RECORD_BYTES = 16 * 1024 * 1024

_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)

# After a crash the node is let in again when its old session has timed out, so that is kept short.
# Batches carry a little more than the record, requests a little more than the batch. The two indexes of an open segment
# are made at their full size, of which a segment of this size needs at most 200 kB.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes={batch_bytes}
replica.fetch.max.bytes={batch_bytes}
fetch.max.bytes={fetch_bytes}
socket.request.max.bytes={request_bytes}
queued.max.request.bytes={queued_bytes}
num.network.threads=2
num.io.threads=4
num.replica.fetchers=1
num.recovery.threads.per.data.dir=2
background.threads=2
group.coordinator.threads=1
share.coordinator.threads=1
metadata.max.idle.interval.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4000
log.segment.bytes=67108864
log.index.size.max.bytes=524288
log.cleaner.dedupe.buffer.size=16777216
metric.reporters=
"""


# A connection that is refused or dropped is an answer to `answers`, not something for librdkafka to print.
_QUIET = logging.getLogger("streams.local.kafka.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class KafkaError(Exception):
    """Kafka did not come up; the text ends with what it said."""


@dataclass(frozen=True)
class Server:
    """A running broker: its process, its port on 127.0.0.1 and its `bootstrap.servers`."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"


def start(directory: Path, port: int = 0, wait: float = 60.0) -> Server:
    """Starts a broker on the data in `directory` and returns when it answers, after at most `wait` seconds.

    Port 0 takes the one kept in `directory`, else a free one. The broker ends with the calling thread. Raises
    `PortTakenError`, or `KafkaError` with the end of its output, which goes to `kafka.log` in `directory`.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = kept_port(directory / "port", port, PORT_OPTION)
    output = directory / "kafka.log"
    with output.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            tethered(command(directory, chosen)),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    server = Server(process, chosen)
    deadline = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < deadline:
        if pidlock.named(directory / _LOCK) == process.pid and answers(server.bootstrap):
            return server
        time.sleep(0.1)
    stop(server)
    raise KafkaError(f"Kafka did not start on port {chosen}:\n{output.read_text(errors='replace')[-2000:]}")


def stop(server: Server, grace: float = 10.0) -> None:
    """Stops the broker with SIGTERM, with SIGKILL after `grace` seconds. Does nothing if it has ended."""
    server.process.terminate()
    try:
        server.process.wait(grace)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def command(directory: Path, port: int) -> list[str]:
    """The command line of a broker process, for whoever supervises it."""
    return [sys.executable, "-m", "streams.local.kafka", "run", str(directory.resolve()), str(port)]


def answers(bootstrap: str, timeout: float = 2.0) -> bool:
    """True if the broker answers a metadata request within `timeout` seconds."""
    host, port = bootstrap.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout).close()
        admin = AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": int(timeout * 1000)}, logger=_QUIET)
        return bool(admin.list_topics(timeout=timeout).brokers)
    except (OSError, KafkaException):
        return False


def properties(port: int, controller_port: int) -> str:
    """The text of `server.properties` for a broker on `port` that keeps its log below its working directory.

    The path is left out because a comma in it would make two of it, and what is not ASCII would be garbled.
    """
    return _PROPERTIES.format(
        host=LOOPBACK,
        port=port,
        controller_port=controller_port,
        batch_bytes=MAX_RECORD_BYTES + 64 * 1024,
        fetch_bytes=4 * MAX_RECORD_BYTES,
        request_bytes=2 * MAX_RECORD_BYTES,
        queued_bytes=8 * MAX_RECORD_BYTES,
    )


def java_command(java: Java, jars: Sequence[Path]) -> list[str]:
    """The Java call up to the main class. zstd and lz4 use memory access that newer versions warn about."""
    newer = (
        ["--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"] if java.version >= 24 else []
    )
    return [java.path, *_OPTIONS, *newer, "-cp", os.pathsep.join(map(str, jars))]


def run(directory: Path, port: int) -> None:
    """Turns the calling process into a broker on the data in `directory`, which is formatted first if it is new.

    Leaves if another broker runs on it. Raises `JarError`, `NoJavaError`.
    """
    directory = directory.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = pidlock.take(directory / _LOCK)
    if held is None:
        sys.exit(f"another Kafka runs on {directory}")
    os.set_inheritable(held.fileno(), True)  # noqa: FBT003 - Java holds the lock on
    os.chdir(directory)
    config = Path("server.properties")
    config.write_text(properties(port, free_port()))
    java = java_command(find_java(), fetch())
    if not Path("log/meta.properties").exists():
        storage = ["kafka.tools.StorageTool", "format", "--cluster-id", _cluster_id(), "--config", str(config)]
        subprocess.run([*java, *storage], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    os.execv(java[0], [*java, "kafka.Kafka", str(config)])  # noqa: S606


def _cluster_id() -> str:
    """A random id that does not begin with "-", which would be read as an option."""
    return "V" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["run", directory, port]:
            try:
                run(Path(directory), int(port))
            except (JarError, NoJavaError) as error:
                sys.exit(str(error))
        case ["lock"]:
            print(f"{LOCK.name}: {len(relock())} jars")
        case _:
            sys.exit("usage: python -m streams.local.kafka run DIR PORT | lock")


if __name__ == "__main__":
    main(sys.argv[1:])
