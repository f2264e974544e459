"""What a bridge on an open network meets: bodies of noise, connections that never end, small bodies that unpack to huge ones."""

import gzip
import random
import socket
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.bench.figures import rss_bytes
from tests.support.invariants import PROJECT
from tests.support.otlp import Reply, export_of
from tests.support.system import System, running, until
from tests.support.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.integration]

BODIES = 10_000
SLOW_CLIENTS = 1000
BOMBS = 200
GROWTH_BYTES = 200 * 1024 * 1024
MIB = 1024 * 1024
PROTOBUF, JSON = {"content-type": "application/x-protobuf"}, {"content-type": "application/json"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("hostile") / "data") as system:
        yield system


def _send(system: System, body: bytes, headers: dict[str, str]) -> int:
    return system.post("/v1/traces", body, system.key(), PROJECT, headers)[0]


def _good(system: System) -> None:
    """An honest client is served as ever."""
    reply = Reply(f"{random.getrandbits(128):032x}", f"{random.getrandbits(64):016x}", "Of course.")
    assert _send(system, export_of([reply]), JSON) == 200


def _mutants(seed: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    chance, traffic = random.Random(seed), Traffic()
    while True:
        body, headers = traffic.body(1, time.time_ns()), PROTOBUF
        if chance.random() < 0.3:
            body, headers = export_of([Reply("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "x" * 300)]), JSON
        mutant = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(mutant))
            match chance.randrange(6):
                case 1:
                    del mutant[place : place + chance.randint(1, 200)]
                case 2:
                    mutant[place:place] = chance.randbytes(chance.randint(1, 50))
                case 3:
                    mutant[place:place] = mutant[: chance.randint(1, 500)]
                case _:
                    mutant[place] = chance.randrange(256)
            mutant = mutant or bytearray(b"\0")
        if chance.random() < 0.2:
            yield gzip.compress(mutant, 1)[: chance.choice((None, 50))], headers | {"content-encoding": "gzip"}
        else:
            yield bytes(mutant), headers


def test_ten_thousand_bodies_of_noise_are_refused_or_taken_and_never_break_the_bridge(system: System) -> None:
    answers: Counter[int] = Counter()
    pid = system.pids()["bridge"]
    before = rss_bytes(pid)
    for (body, headers), _ in zip(_mutants(1), range(BODIES), strict=False):
        answers[_send(system, body, headers)] += 1
    assert set(answers) <= {200, 400}, answers
    assert answers[400] > BODIES / 10
    assert answers[200] > BODIES / 50
    assert system.pids()["bridge"] == pid
    assert rss_bytes(pid) - before < GROWTH_BYTES
    _good(system)
    until(system.is_drained)


def test_a_thousand_slow_clients_keep_nobody_out_and_are_cut(system: System) -> None:
    host, port = system.bridge.removeprefix("http://").split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {system.key()}\r\ncontent-type: application/x-protobuf\r\n"
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(SLOW_CLIENTS)]
        for number, client in enumerate(slow):
            client.sendall((head + "content-length: 100000\r\n\r\n" if number % 2 else head).encode())
        for _ in range(10):
            for client in slow:
                _dribble(client)
            _good(system)
            time.sleep(1)
        until(lambda: all(_is_cut(client) for client in slow), patience_s=120, every_s=2)
    _good(system)


def _dribble(client: socket.socket) -> None:
    with suppress(OSError):  # cut already
        client.sendall(b"x")


def _is_cut(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while client.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def test_bombs_are_refused_while_they_unpack(system: System) -> None:
    pid = system.pids()["bridge"]
    before = rss_bytes(pid)
    packed = gzip.compress(bytes(1024 * MIB // 4), 9)
    many = gzip.compress(b"".join(b"\x0a\x00" for _ in range(8 * MIB)), 9)
    deflated = zlib.compress(bytes(256 * MIB), 9)
    for body, coding in ((packed, "gzip"), (many, "gzip"), (deflated, "deflate"), (packed + packed, "gzip")):
        for _ in range(BOMBS // 4):
            assert _send(system, body, PROTOBUF | {"content-encoding": coding}) in (400, 413, 415)
    assert rss_bytes(pid) - before < GROWTH_BYTES
    assert system.pids()["bridge"] == pid
    _good(system)
