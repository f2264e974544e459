"""A server that is down, slow or refuses: the program does not notice, and what is lost is counted and told."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from vedette import Tracer
from vedette.outbox import ExampleItem, Outbox

from tests.sdk.server import KEY, Server, serving, until

NOBODY = "http://127.0.0.1:9"


@contextmanager
def reporting_to(url: str, **options: float) -> Iterator[Tracer]:
    tracer = Tracer(project_name="shop", api_url=url, api_key=KEY, **options)  # type: ignore[arg-type]
    try:
        yield tracer
    finally:
        tracer.shutdown(100)


def _calls(tracer: Tracer, number: int) -> None:
    for _ in range(number):
        with tracer.span("call"):
            tracer.async_evaluate("s", {"a": 1})


@pytest.mark.parametrize("trouble", ["down", "slow", "401", "429", "500"])
def test_calls_do_not_wait_for_the_server(trouble: str) -> None:
    """Nothing that a caller does reaches the network: the callers' thread has sent nothing when they are done."""
    with serving() as server:
        server.delay_s = 30 if trouble == "slow" else 0
        server.status = int(trouble) if trouble.isdigit() else 200
        with reporting_to(NOBODY if trouble == "down" else server.url) as tracer:
            began = time.thread_time(), time.monotonic()
            _calls(tracer, 300)
            assert time.monotonic() - began[1] < 15  # a server that is slow takes 30 s for one
            assert tracer.core.outbox is not None
            assert tracer.core.outbox.accepted == 600


def test_what_waits_arrives_when_the_server_comes_back() -> None:
    with serving() as first:
        port = int(first.url.rpartition(":")[2])
    with reporting_to(f"http://127.0.0.1:{port}") as tracer:
        _calls(tracer, 50)
        time.sleep(0.5)  # it is tried in vain
        with serving(port) as server:
            assert tracer.force_flush(20_000)
            assert (len(server.spans()), len(server.examples())) == (50, 50)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_the_server_cannot_take_now_is_sent_again(tracer: Tracer, server: Server, status: int) -> None:
    server.status, server.headers = status, {"retry-after": "0"}
    _calls(tracer, 3)
    until(lambda: bool(server.requests))
    server.status = 200
    assert tracer.force_flush(20_000)
    assert {span.span_id for span in server.spans()} == {example["span_id"] for example in server.examples()}
    assert len(server.spans()) == 3


def test_a_key_that_is_refused_is_told_once_and_not_hammered(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.status = 401
    with reporting_to(server.url) as tracer:
        for _ in range(5):
            _calls(tracer, 2)
            tracer.force_flush(5_000)
        assert len(server.requests) == 1
        assert tracer.core.outbox is not None
        assert sum(tracer.core.outbox.dropped.values()) == 20
    assert sum("refused the key of constructor: 401" in one.message for one in caplog.records) == 1
    assert KEY not in caplog.text


def test_a_batch_that_is_too_large_is_sent_in_halves(tracer: Tracer, server: Server) -> None:
    server.status = 413
    _calls(tracer, 4)
    until(lambda: len(server.requests) >= 1)
    server.status = 200
    assert tracer.force_flush(20_000)
    assert tracer.core.outbox is not None
    lost = tracer.core.outbox.dropped["spans", "refused 413"]
    assert len(server.spans()) + lost == 4
    assert len([one for one in server.requests if one.path == "/v1/traces"]) > 1


def test_the_queue_is_bounded_in_items_and_in_bytes() -> None:
    outbox = Outbox(max_items=3, max_bytes=1000)
    for size in (400, 400, 400, 100, 100):
        outbox.put(ExampleItem({}, size))
    assert [item.size for item in outbox.take(10, 10_000)] == [400, 400, 100]
    assert outbox.dropped == {("examples", "queue full"): 2}
    outbox.put(ExampleItem({}, 1000))
    assert len(outbox.take(10, 1)) == 1, "an item larger than a batch goes alone"


def test_what_was_dropped_is_told_to_the_server(tracer: Tracer, server: Server) -> None:
    assert tracer.core.outbox is not None
    tracer.core.outbox.dropped["spans", "queue full"] += 7
    _calls(tracer, 1)
    tracer.force_flush()
    assert server.spans()[0].resource["vedette.sdk.dropped.spans.queue_full"] == 7


def test_redirects_are_not_followed() -> None:
    """The key stays with the server it is for."""
    with serving() as elsewhere, serving() as server:
        server.status, server.headers = 307, {"location": f"{elsewhere.url}/v1/traces"}
        with reporting_to(server.url) as tracer:
            _calls(tracer, 1)
            tracer.force_flush(5_000)
        assert elsewhere.requests == []
        assert server.requests


def test_many_threads_lose_nothing(tracer: Tracer, server: Server) -> None:
    threads = [threading.Thread(target=_calls, args=(tracer, 200)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracer.force_flush(30_000)
    assert (len(server.spans()), len(server.examples())) == (1600, 1600)


PROGRAM = """
import os, signal, sys
from vedette import Tracer
tracer = Tracer(project_name="shop", api_url=sys.argv[1], api_key="key-of-the-tests", exit_timeout_s=3)

@tracer.observe
def call(who):
    tracer.async_evaluate("s", {"who": who})
"""


def _runs(program: str, url: str, code: int = 0) -> float:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", PROGRAM + program, url], capture_output=True, text=True, timeout=60, env=_environment())  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return time.monotonic() - began


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("VEDETTE_", "JUDGMENT_", "OTEL_"))
    }


def test_what_waits_at_the_end_of_the_program_is_sent(server: Server) -> None:
    _runs("for n in range(1000): call(n)", server.url)
    assert (len(server.spans()), len(server.examples())) == (1000, 1000)


@pytest.mark.parametrize("delay_s", [0, 30])
def test_the_end_of_the_program_waits_for_a_bounded_time(server: Server, delay_s: float) -> None:
    server.delay_s = delay_s
    assert _runs("call(1)", server.url if delay_s else NOBODY) < 20  # a slow server takes 30 s


def test_a_child_process_reports_by_itself_and_sends_nothing_twice(server: Server) -> None:
    _runs(
        """
call("parent before")
pid = os.fork()
call("child" if pid == 0 else "parent after")
if pid:
    assert os.waitpid(pid, 0)[1] == 0
""",
        server.url,
    )
    assert sorted(example["fields"]["who"] for example in server.examples()) == [
        "child",
        "parent after",
        "parent before",
    ]
    assert len({span.span_id for span in server.spans()}) == len(server.spans()) == 3


def test_workers_forked_while_the_parent_is_sending(server: Server) -> None:
    server.delay_s = 0.05
    _runs(
        """
import threading
stop = threading.Event()
def busy():
    while not stop.is_set():
        call("parent")
threading.Thread(target=busy, daemon=True).start()
children = []
for n in range(5):
    pid = os.fork()
    if pid == 0:
        call(f"child {n}")
        assert tracer.force_flush(10_000)
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 5
stop.set()
""",
        server.url,
    )
    told = {example["fields"]["who"] for example in server.examples()}
    assert told >= {f"child {n}" for n in range(5)}


def test_a_program_that_is_told_to_stop_stops(server: Server) -> None:
    _runs("call(1); os.kill(os.getpid(), signal.SIGTERM)", server.url, code=-signal.SIGTERM)
