"""Sends spans at a rate, as agents with keep-alive connections do. A process of its own, for its CPU time.

Prints what it sent and how long answers took as one JSON line.
"""

import http.client
import json
import sys
import threading
import time
from collections import Counter
from statistics import quantiles
from urllib.parse import urlsplit

from tests.support.traffic import SPANS_OF_A_TRACE, Traffic

TRACES = 20
SPANS = TRACES * SPANS_OF_A_TRACE
SENDERS = 4


class Senders:
    """Threads that send bodies when they are due."""

    def __init__(self, url: str, key: str, project: str, bodies: list[bytes], rate: float) -> None:
        self._where = urlsplit(url)
        self._headers = {
            "authorization": f"Bearer {key}",
            "x-vedette-project": project,
            "content-type": "application/x-protobuf",
        }
        self._bodies, self._every_s = bodies, SPANS / rate
        self.answers: Counter[int] = Counter()
        self.seconds: list[float] = []

    def run(self) -> float:
        """Sends everything and returns how long that took, in seconds."""
        began = time.monotonic()
        threads = [threading.Thread(target=self._send, args=(began, first)) for first in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - began

    def _send(self, began: float, first: int) -> None:
        connection = http.client.HTTPConnection(self._where.hostname or "", self._where.port, timeout=30)
        for number in range(first, len(self._bodies), SENDERS):
            due = began + number * self._every_s
            time.sleep(max(due - time.monotonic(), 0))
            connection.request("POST", "/v1/traces", self._bodies[number], self._headers)
            answer = connection.getresponse()
            answer.read()
            self.answers[answer.status] += 1
            self.seconds.append(time.monotonic() - due)


def main(url: str, key: str, project: str, rate: float, seconds: float) -> None:
    """Makes the bodies, waits for a line on stdin, sends."""
    traffic, now = Traffic(), time.time_ns()
    bodies = [traffic.body(TRACES, now) for _ in range(round(rate * seconds / SPANS))]
    print("ready", flush=True)
    sys.stdin.readline()
    senders = Senders(url, key, project, bodies, rate)
    took = senders.run()
    late = quantiles(senders.seconds, n=100)
    told = {
        "spans": len(bodies) * SPANS,
        "seconds": took,
        "answers": senders.answers,
        "p50_s": late[49],
        "p99_s": late[98],
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
