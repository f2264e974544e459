"""An installation of its own on the run's Kafka: topics under a prefix, jobs as processes, records in and out.

def test_something(installation: Installation) -> None:
    installation.configure("Scorer", "polite", {"type": "contains", "with": {"any": ["please"]}})
    installation.start("sample", "score")
    installation.put(Topic.EXAMPLES, key, Example(...))
    installation.until(lambda: len(installation.records(Topic.SCORES, Score)) == 1)
"""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from pydantic import BaseModel

from schemas.codec import Schemas, encode
from schemas.config import ConfigEntry
from schemas.documents.base import canonical_spec, spec_version
from schemas.documents.provider import ProviderSpec
from schemas.documents.rule import RuleSpec
from schemas.documents.scorer import ScorerSpec
from schemas.ids import record_key
from schemas.record import Record
from schemas.topics import Topic
from streams import kafka, schema_topic, topics
from streams.local.ports import free_port
from streams.logic.configuration import TAKES_EFFECT_AFTER_MS
from streams.settings import Settings

R = TypeVar("R", bound=Record)

PATIENCE_S = 60
_SPECS: Mapping[str, type[BaseModel]] = {"Scorer": ScorerSpec, "Rule": RuleSpec, "Provider": ProviderSpec}
_START = "from importlib import import_module; from streams.settings import load; import_module({!r}).main(load())"


@dataclass
class Job:
    """A job as a process, its output and its probes."""

    module: str
    process: subprocess.Popen[bytes]
    port: int
    output: Path

    def answers(self, path: str = "/livez") -> bool:
        try:
            return self.get(path) == "ok\n"
        except OSError:
            return False

    def is_ready(self) -> bool:
        return self.answers("/readyz")

    def get(self, path: str) -> str:
        """Returns what its probe or `/metrics` answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read(), "utf-8")

    def wait_ready(self, patience_s: float = PATIENCE_S) -> None:
        """Returns when the job says that it is ready."""
        end = time.monotonic() + patience_s
        while not self.is_ready():
            assert self.process.poll() is None, f"{self.module} ended with {self.process.returncode}\n{self.log()}"
            assert time.monotonic() < end, f"{self.module} was not ready within {patience_s:g} s\n{self.log()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends it as a crash of the machine does: `kill -9`."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, patience_s: float = 30) -> int:
        """Asks it to finish what is in flight and leave; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience_s)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Waits until it ends by itself; returns its exit code."""
        return self.process.wait(patience_s)

    def log(self) -> str:
        return self.output.read_text(errors="replace")


@dataclass
class Installation:
    """Topics under a prefix of their own, the processes started on them, and a producer."""

    settings: Settings
    directory: Path
    jobs: list[Job] = field(default_factory=list)
    schemas: Schemas = field(default_factory=Schemas)

    def __post_init__(self) -> None:
        topics.create(self.settings)
        self.producer: Producer = kafka.producer(self.settings)
        self._published: set[type[Record]] = set()

    def name(self, topic: Topic) -> str:
        return kafka.topic_name(self.settings, topic)

    # --- jobs -----------------------------------------------------------------------------------------------------

    def start(self, *jobs: str, ready: bool = True, **settings: object) -> list[Job]:
        """Starts jobs (`sample`, or the dotted name of a module with a `main(settings)`), and waits until they are ready.

        `settings` are further ones: `dlq_limit=3` is `VEDETTE_DLQ_LIMIT=3`.
        """
        started = [self._spawn(job if "." in job else f"streams.{job}", settings) for job in jobs]
        for job in started if ready else ():
            job.wait_ready()
        return started

    def _spawn(self, module: str, further: Mapping[str, object]) -> Job:
        port = free_port()
        output = self.directory / f"{len(self.jobs)}-{module}.log"
        own = {f"VEDETTE_{name.upper()}": str(value) for name, value in further.items()}
        env = {**os.environ, **self.settings.environment(), "VEDETTE_METRICS_PORT": str(port), **own}
        with output.open("wb") as log:
            command = [sys.executable, "-c", _START.format(module)]
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.jobs.append(Job(module, process, port, output))
        return self.jobs[-1]

    def stop(self) -> None:
        """Ends every job and prints what each has said; pytest shows it when a test failed."""
        for job in self.jobs:
            job.kill()
            print(f"--- {job.output.name}, exit code {job.process.returncode}\n{job.log()}")
        self.producer.flush(10)

    # --- records --------------------------------------------------------------------------------------------------

    def put(
        self,
        topic: Topic,
        key: bytes | None,
        value: Record | bytes,
        headers: Mapping[str, bytes] | None = None,
        partition: int = -1,
    ) -> None:
        """Queues a record; its schema is published before the first of its class."""
        if isinstance(value, Record):
            self._publish(type(value))
        data = encode(value) if isinstance(value, Record) else value
        self.producer.produce(
            self.name(topic), key=key, value=data, headers=list((headers or {}).items()), partition=partition
        )
        self.producer.poll(0)

    def flush(self) -> None:
        """Returns when Kafka has acknowledged everything that was put."""
        assert self.producer.flush(60) == 0

    def _publish(self, cls: type[Record]) -> None:
        if cls not in self._published:
            schema_topic.publish(self.settings, self.producer, cls)
            self._published.add(cls)

    def configure(self, kind: str, name: str, spec: Mapping[str, object], project: str = "default") -> str:
        """Writes a document as the api does and returns its version; `in_effect` waits until it holds."""
        text = canonical_spec(_SPECS[kind].model_validate(spec))
        entry = ConfigEntry(project=project, kind=kind, name=name, version=spec_version(text), spec=text)
        self.put(Topic.CONFIG, record_key(project, kind, name, entry.version), entry)
        return entry.version

    def in_effect(self) -> None:
        """Waits until everything that was configured is in effect."""
        self.flush()
        time.sleep(TAKES_EFFECT_AFTER_MS / 1000 + 0.1)

    def messages(self, topic: Topic) -> list[Message]:
        """Returns everything that stands on a topic now, each partition in order."""
        eof: dict[str, object] = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}
        consumer: Consumer = kafka.consumer(self.settings, f"{self.settings.topic_prefix}test", **eof)
        partitions = consumer.list_topics(self.name(topic), timeout=10).topics[self.name(topic)].partitions
        consumer.assign([TopicPartition(self.name(topic), number, OFFSET_BEGINNING) for number in partitions])
        found: list[Message] = []
        ended: set[int | None] = set()
        while len(ended) < len(partitions):
            for message in consumer.consume(1000, timeout=0.2):
                ended.add(message.partition()) if message.error() else found.append(message)
        consumer.close()
        return found

    def records(self, topic: Topic, cls: type[R]) -> list[R]:
        """Returns everything that stands on a topic now, decoded; ticks (no key) are left out."""
        return [self.schemas.decode(cls, m.value() or b"") for m in self.messages(topic) if m.key() is not None]

    def until(self, done: Callable[[], bool], patience_s: float = PATIENCE_S, every_s: float = 0.2) -> None:
        """Waits until `done` is true."""
        end = time.monotonic() + patience_s
        while not done():
            assert time.monotonic() < end, f"not within {patience_s:g} s"
            time.sleep(every_s)
