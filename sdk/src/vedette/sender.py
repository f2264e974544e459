"""The thread that sends. A server that is down, slow or refuses costs the program nothing but this thread's patience."""

from __future__ import annotations

import gzip
import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, attach

from vedette import __version__
from vedette.address import Address, project_header
from vedette.core import log, tell
from vedette.outbox import ExampleItem, Item, Outbox, SpanItem
from vedette.transport import LONGEST_PAUSE_S, Answer, Http, Post, is_passing, message

T = TypeVar("T", bound=Item)

DELAY_S = 0.2
"""that a batch gathers"""

BATCH_ITEMS, BATCH_BYTES = 512, 4 * 1024 * 1024
FIRST_PAUSE_S = 0.5
TRIES = 10
"""of one batch, which takes some three minutes; then newer spans are worth more than these"""

REFUSED_PAUSE_S = 30.0
"""after a key was refused: the next batch asks again"""


class Sender:
    """Takes from the outbox and sends, until it is told to stop."""

    def __init__(
        self,
        outbox: Outbox,
        address: Address,
        project: str,
        resource: Mapping[str, Any],
        redact: Callable[[str], str] | None,
        post: Post | None = None,
    ) -> None:
        self._outbox = outbox
        self._address = address
        self._headers = {**address.headers, **project_header(project), "user-agent": f"vedette-python/{__version__}"}
        self._zipped = os.environ.get("OTEL_EXPORTER_OTLP_COMPRESSION", "").strip().lower() == "gzip"
        self._resource = resource
        self._redact = redact
        self._key = address.key.encode()
        self._given_post = post
        self.reset()

    def reset(self) -> None:
        """Makes it ready to be started, in a child process too."""
        self._post: Post = self._given_post or Http()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._hurry = threading.Event()
        self._leaving = False
        self._refused_until = 0.0

    def ensure_running(self) -> None:
        """Starts the thread unless it runs."""
        if self._thread is not None or self._leaving:
            return
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="vedette-sender", daemon=True)
                thread.start()
                self._thread = thread

    def flush(self, timeout_s: float) -> bool:
        """Sends what waits at once; False when time was up first."""
        self._hurry.set()
        self._outbox.filled.set()
        self.ensure_running()
        return self._outbox.drain(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Sends what waits, each batch tried once more, and ends the thread; False when time was up first."""
        if self._outbox.accepted > self._outbox.settled:
            self.ensure_running()
        self._leaving = True
        self._hurry.set()
        self._outbox.filled.set()
        return self._outbox.drain(timeout_s)

    def _run(self) -> None:
        attach(Context(_UNTRACED))
        while True:
            self._outbox.filled.wait()
            self._hurry.wait(DELAY_S)
            batch = self._outbox.take(BATCH_ITEMS, BATCH_BYTES)
            if batch:
                self._deliver([item for item in batch if isinstance(item, SpanItem)], self._send_spans)
                self._deliver([item for item in batch if isinstance(item, ExampleItem)], self._send_examples)
            elif self._leaving:
                return
            else:
                self._hurry.clear()

    def _deliver(self, items: list[T], send: Callable[[list[T]], None]) -> None:
        try:
            if items:
                send(items)
        except Exception as error:
            log.debug("a batch could not be sent", exc_info=error)
            self._outbox.settle(items, "failed")

    def _send_spans(self, items: list[SpanItem]) -> None:
        from vedette import encode  # noqa: PLC0415 - protobuf is dear to import, and only this thread needs it

        body, failed = encode.traces(items, {**self._resource, **self._losses()}, self._redact)
        if failed:
            self._outbox.dropped["spans", "not encodable"] += failed
        self._send(self._address.traces_url, "application/x-protobuf", body, items, self._send_spans)

    def _send_examples(self, items: list[ExampleItem]) -> None:
        from vedette import encode  # noqa: PLC0415

        body = encode.examples(items, self._redact)
        self._send(self._address.examples_url, "application/json", body, items, self._send_examples)

    def _losses(self) -> dict[str, int]:
        """What was dropped so far, for the server to know."""
        return {f"vedette.sdk.dropped.{kind}.{reason.replace(' ', '_')}": number for (kind, reason), number in list(self._outbox.dropped.items())}  # fmt: skip

    def _send(self, url: str, kind: str, body: bytes, items: list[T], again: Callable[[list[T]], None]) -> None:
        """Posts until the items are settled; `again` sends a part of them."""
        if self._key in body:
            body = body.replace(self._key, b"*" * len(self._key))
        headers = {**self._headers, "content-type": kind}
        if self._zipped:
            body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
        answer = self._answered(url, body, headers)
        if 200 <= answer.status < 300:
            self._hear(answer)
            self._outbox.settle(items)
        elif answer.status == 413 and len(items) > 1:
            again(items[: len(items) // 2])
            again(items[len(items) // 2 :])
        elif is_passing(answer):
            self._outbox.settle(items, "server away")
        else:
            self._note_refusal(answer)
            self._outbox.settle(items, f"refused {answer.status}")

    def _answered(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer, after as many trials as a server deserves that cannot take it now."""
        answer = Answer(401)
        if time.monotonic() < self._refused_until:
            return answer
        for trial in range(TRIES):
            answer = self._post(url, body, headers)
            if not is_passing(answer):
                break
            tell(
                "%s takes nothing now (%s); what there is is kept as long as there is room",
                *(self._address.base, answer.status or "no answer"),
            )
            if self._leaving:
                break
            self._rest(trial, answer.retry_after_s)
        return answer

    def _note_refusal(self, answer: Answer) -> None:
        if answer.status not in (401, 403):
            tell("%s refused a batch: %s %s", self._address.base, answer.status, message(answer))
        elif time.monotonic() >= self._refused_until:
            self._refused_until = time.monotonic() + REFUSED_PAUSE_S
            tell(
                "%s refused the key of %s: %s %s",
                *(self._address.base, self._address.family, answer.status, message(answer)),
            )

    def _rest(self, trial: int, wanted_s: float) -> None:
        """Waits before the next trial, no longer than the tracer stays."""
        pause_s = min(FIRST_PAUSE_S * 2**trial, LONGEST_PAUSE_S) * random.uniform(0.5, 1)  # noqa: S311 - spreads clients
        end = time.monotonic() + min(max(pause_s, wanted_s), LONGEST_PAUSE_S)
        while not self._leaving and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _hear(self, answer: Answer) -> None:
        try:
            told = json.loads(answer.body)
        except ValueError:
            return
        if not isinstance(told, dict):
            return
        for rejected in told.get("rejected") or ():
            self._outbox.dropped["examples", "rejected"] += 1
            tell("an example was rejected: %s", str(rejected.get("error"))[:500])
        for name in told.get("unknown_scorers") or ():
            tell(
                f"nobody has uploaded the scorer {name[:200]!r} to this project yet; its examples wait for it: `vedette upload_scorer FILE`"
            )


_UNTRACED = {_SUPPRESS_INSTRUMENTATION_KEY: True, "suppress_instrumentation": True}
"""What instruments HTTP must not trace the sender: each span would cause the next."""
