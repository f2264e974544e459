"""How the watcher sees a canary pass, from outside: topics by their bytes, ClickHouse by a query, alerts by a mail server of its own."""

import socket
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from confluent_kafka import Consumer, TopicPartition

from schemas.ids import partition_of, record_key
from schemas.topics import Topic
from streams import kafka
from streams.settings import Settings
from streams.watch.canary import NAME, PROJECT, Canary

ANSWER_S = 3.0
OF_TRACE = {
    Topic.SPANS: "normalise",
    Topic.REQUESTS_CODE: "sample",
    Topic.SCORES: "score",
    Topic.RULE_CONDITIONS: "match",
}
OF_RULE = {Topic.RULE_EVENTS: "complete", Topic.ALERTS: "count"}
RULE_KEY = record_key(PROJECT, NAME, ())


class Trail:
    """The topics of one canary from where they end now: only the partitions that it must come by."""

    def __init__(self, settings: Settings, canary: Canary) -> None:
        self._trace = canary.trace_id.encode()
        self._stages = {kafka.topic_name(settings, topic): stage for topic, stage in {**OF_TRACE, **OF_RULE}.items()}
        self._consumer: Consumer = kafka.consumer(settings, kafka.group_name(settings, "watch"))
        trace_key = record_key(PROJECT, canary.trace_id)
        self._keys = {
            kafka.topic_name(settings, topic): trace_key if topic in OF_TRACE else RULE_KEY
            for topic in (*OF_TRACE, *OF_RULE)
        }

    def begin(self) -> None:
        """Goes to the ends of the topics.

        Raises:
            KafkaException: Kafka does not answer.
        """
        places = []
        known = self._consumer.list_topics(timeout=ANSWER_S).topics
        for name, key in self._keys.items():
            place = TopicPartition(name, partition_of(key, max(len(known[name].partitions), 1)))
            place.offset = self._consumer.get_watermark_offsets(place, timeout=ANSWER_S)[1]
            places.append(place)
        self._consumer.assign(places)

    def seen(self, within_s: float) -> Iterator[str]:
        """Yields the stages whose records about the canary came within a time, in seconds. Ids stand in records as they are."""
        for message in self._consumer.consume(500, within_s):
            name, key = message.topic() or "", message.key() or b""
            ours = message.error() is None and key == self._keys.get(name)
            if ours and self._trace in key + (message.value() or b""):
                yield self._stages[name]

    def close(self) -> None:
        """Leaves the topics."""
        self._consumer.close()


class Ear:
    """A mail server that `deliver` tells the canary's alerts to."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port or _free_port(host)
        self._heard: deque[bytes] = deque(maxlen=100)
        self._server = Controller(self, hostname=host, port=self.port)

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        """Takes one mail."""
        self._heard.append(envelope.original_content or b"")
        return "250 heard"

    def start(self) -> None:
        """Listens in a thread."""
        self._server.start()

    def heard(self, canary: Canary) -> bool:
        """Tells whether an alert about a canary was told."""
        return any(canary.trace_id in _text(mail) for mail in list(self._heard))

    def stop(self) -> None:
        """Stops listening."""
        self._server.stop()


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _text(mail: bytes) -> str:
    """The plain text of a mail, without the coding that it came in."""
    body = message_from_bytes(mail, policy=policy.default).get_body(("plain",))
    return "" if body is None else str(body.get_content())


def posted(url: str, key: str, canary: Canary) -> str:
    """Sends a canary to the bridge; returns why it was not taken, or nothing."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "x-vedette-project": PROJECT}
    return answered(urllib.request.Request(f"{url}/v1/traces", canary.otlp(), headers))  # noqa: S310 - the operator's URL


def asked(url: str, key: str) -> str:
    """Asks the api for something about the canary's project; returns why it did not answer, or nothing."""
    headers = {"authorization": f"Bearer {key}", "x-vedette-project": PROJECT}
    return answered(urllib.request.Request(url, headers=headers))  # noqa: S310 - the operator's URL


def answered(request: urllib.request.Request | str) -> str:
    """Returns why a request got no 2xx, or nothing."""
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S):  # noqa: S310 - the operator's URL
            return ""
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except (OSError, ValueError) as error:
        return str(error)
