"""How the watcher sees a canary pass, from outside: topics by their bytes, ClickHouse by a query, alerts by a server of its own."""

import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
MOST_BODY = 1 << 20


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
    """A server that `deliver` tells the canary's alerts to."""

    def __init__(self, host: str, port: int) -> None:
        self._heard: deque[bytes] = deque(maxlen=100)
        heard = self._heard

        class Listening(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BODY)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Every canary comes by: not worth a line."""

        self._server = ThreadingHTTPServer((host, port), Listening)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def start(self) -> None:
        """Listens in a thread."""
        threading.Thread(target=self._server.serve_forever, daemon=True, name="ear").start()

    def heard(self, canary: Canary) -> bool:
        """Tells whether an alert about a canary was told."""
        return any(canary.trace_id.encode() in body for body in list(self._heard))

    def stop(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


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
