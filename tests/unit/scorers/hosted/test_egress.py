"""A sandbox reaches the hosts that its project is allowed, by addresses that were checked, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.net_guard import networks
from scorers.hosted.door import MOST_CONNECTIONS, open_door
from scorers.hosted.egress import Egress
from scorers.hosted.gateway import Gateway
from scorers.providers.caller import Caller, Meter, Provider

NAMES = {
    "llm.test": ["127.0.0.1"],
    "rebind.test": ["127.0.0.1", "169.254.169.254"],
    "meta.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:169.254.169.254"],
    "nat64.test": ["64:ff9b::a9fe:a9fe"],
}


def nobody(project: str, name: str) -> Provider:
    raise LookupError("no providers here")


def look_up(host: str, port: int) -> list[str]:
    return NAMES.get(host, [host])


@asynccontextmanager
async def door(folder: Path, allowed: list[str], most_bytes: int = 1024) -> AsyncIterator[Path]:
    egress = Egress({"shop": allowed}, networks(["127.0.0.0/8"]), most_bytes, look_up)
    gateway = Gateway(nobody, Caller())
    async with open_door(folder / "door", Meter("shop", "s"), gateway, egress) as path:
        yield path


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that says what it hears; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def asked(path: Path, head: str, data: bytes = b"") -> tuple[str, bytes]:
    """The first line and the rest of what is answered."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(head.encode() + b"\r\n\r\n" + data)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    first, _, rest = answer.partition(b"\r\n")
    return first.decode(), rest


@pytest.mark.parametrize("written", ["llm.test:{port}", "LLM.test.:{port}"])
async def test_an_allowed_host_is_reached(echo: int, tmp_path: Path, written: str) -> None:
    async with door(tmp_path, [f"llm.test:{echo}"]) as path:
        first, rest = await asked(path, f"CONNECT {written.format(port=echo)} HTTP/1.1", b"hello")
    assert first == "HTTP/1.1 200 Connection established"
    assert rest == b"\r\nhello"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("evil.test:{port}", "may not reach evil.test"),
        ("llm.test:1", "VEDETTE_EGRESS_ALLOW"),
        ("127.0.0.1:{port}", "may not reach"),
        ("[::1]:{port}", "may not reach"),
        ("169.254.169.254:80", "may not reach"),
        ("meta.test:443", "169.254.169.254 is not a public address"),
        ("rebind.test:443", "169.254.169.254 is not a public address"),
        ("mapped.test:443", "not a public address"),
        ("nat64.test:443", "not a public address"),
        ("llm.test", "no HOST:PORT"),
        ("llm.test:0", "no HOST:PORT"),
        ("llm.test:²", "no HOST:PORT"),
        (":80", "is no host"),
    ],
)
async def test_no_other_target_is(echo: int, tmp_path: Path, target: str, reason: str) -> None:
    allowed = [f"llm.test:{echo}", "meta.test:443", "rebind.test:443", "mapped.test:443", "nat64.test:443"]
    async with door(tmp_path, allowed) as path:
        first, rest = await asked(path, f"CONNECT {target.format(port=echo)} HTTP/1.1")
    assert first == "HTTP/1.1 403 Forbidden"
    assert reason in rest.decode()


async def test_what_one_project_may_reach_another_may_not(echo: int, tmp_path: Path) -> None:
    egress = Egress({"shop": [f"llm.test:{echo}"]}, networks(["127.0.0.0/8"]), look_up=look_up)
    gateway = Gateway(nobody, Caller())
    async with open_door(tmp_path / "door", Meter("other", "s"), gateway, egress) as path:
        first, rest = await asked(path, f"CONNECT llm.test:{echo} HTTP/1.1")
    assert first == "HTTP/1.1 403 Forbidden"
    assert f'VEDETTE_EGRESS_ALLOW=\'{{"other": ["llm.test:{echo}"]}}\'' in rest.decode()


async def test_a_connection_ends_when_it_has_carried_its_share(echo: int, tmp_path: Path) -> None:
    async with door(tmp_path, [f"llm.test:{echo}"], most_bytes=100) as path:
        _, rest = await asked(path, f"CONNECT llm.test:{echo} HTTP/1.1", b"x" * 1000)
    assert len(rest) <= 102


@pytest.mark.parametrize("head", ["CONNECT", "CONNECT  HTTP/1.1", "CONNECT llm.test:1", "CONNECT " + "x" * 9000])
async def test_what_is_no_request_is_refused_and_harms_nobody(echo: int, tmp_path: Path, head: str) -> None:
    async with door(tmp_path, [f"llm.test:{echo}"]) as path:
        first, _ = await asked(path, head)
        assert not first.startswith("HTTP/1.1 2")
        first, rest = await asked(path, f"CONNECT llm.test:{echo} HTTP/1.1", b"hello")
    assert rest == b"\r\nhello"


async def test_a_sandbox_may_hold_so_many_connections_and_another_is_still_served(echo: int, tmp_path: Path) -> None:
    async with door(tmp_path, [f"llm.test:{echo}"]) as path, door(_made(tmp_path / "b"), [f"llm.test:{echo}"]) as other:
        held = [await asyncio.open_unix_connection(str(path)) for _ in range(MOST_CONNECTIONS)]
        reader, writer = await asyncio.open_unix_connection(str(path))
        assert await asyncio.wait_for(reader.read(), 5) == b"", "one too many is closed"
        _, rest = await asked(other, f"CONNECT llm.test:{echo} HTTP/1.1", b"hello")
        assert rest == b"\r\nhello"
        for _, one in [*held, (reader, writer)]:
            one.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
