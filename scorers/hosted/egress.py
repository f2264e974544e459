"""The egress proxy: a sandbox without a network reaches the hosts that the operator allows its project, and no others.

HTTP CONNECT (RFC 9110 §9.3.6). The host is compared with the list, resolved once, checked (`schemas/net_guard.py`) and connected to by
the checked address. Bytes, connections and silence are bounded; every decision is logged.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter

from schemas.net_guard import LookUp, Network, Refused, addresses_of, plain_host, resolve

log = structlog.get_logger()

CONNECT_S, SILENCE_S, HEAD_S = 5.0, 60.0, 5.0
CHUNK = 64 * 1024

CONNECTIONS = Counter("vedette_egress_connections_total", "Connections that hosted scorers asked for", ["outcome"])

Allowed = Mapping[str, Sequence[str]]
"""`host:port` by project; `*` for all projects."""


@dataclass
class Egress:
    """Opens tunnels for the sandboxes of a runner."""

    allowed: Allowed
    private: Sequence[Network] = ()
    most_bytes: int = 64 * 1024 * 1024
    """Of one connection, both ways together."""
    look_up: LookUp = addresses_of
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(256))

    async def connect(self, project: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection that begins with CONNECT, until either side ends it."""
        target, outcome = "?", "closed"
        try:
            async with self._room:
                target = await _target(reader)
                there = await self._open(project, target)
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._tunnel((reader, writer), there)
        except Refused as refused:
            outcome = "refused"
            writer.write(_refusal(f"{refused}"))
            log.warning("connection refused", project=project, target=target, reason=str(refused))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            outcome = "failed"
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            log.info("connection failed", project=project, target=target, reason=str(error) or type(error).__name__)
        finally:
            CONNECTIONS.labels(outcome).inc()
            writer.close()

    async def _open(self, project: str, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = destination(target)
        if not is_allowed(host, port, project, self.allowed):
            raise Refused(
                f"project {project!r} may not reach {host}:{port}: the operator allows it by adding it to VEDETTE_EGRESS_ALLOW, "
                f'for example VEDETTE_EGRESS_ALLOW=\'{{"{project}": ["{host}:{port}"]}}\''
            )
        addresses = await asyncio.to_thread(resolve, host, port, self.private, self.look_up)
        log.info("connection opened", project=project, target=target, address=addresses[0])
        async with asyncio.timeout(CONNECT_S):
            return await asyncio.open_connection(addresses[0], port)

    async def _tunnel(
        self,
        here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        left = [self.most_bytes]
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(here[0], there[1], left))
                both.create_task(_pump(there[0], here[1], left))
        except* (OSError, TimeoutError):
            pass  # either side went away, said nothing for long, or too much
        finally:
            there[1].close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: list[int]) -> None:
    while True:
        async with asyncio.timeout(SILENCE_S):
            data = await source.read(CHUNK)
        left[0] -= len(data)
        if not data or left[0] < 0:
            break
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof() and left[0] >= 0:
        sink.write_eof()
    else:
        sink.close()


async def _target(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(HEAD_S):
        head = await reader.readuntil(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].decode("ascii", "replace").split(" ")
    if len(words) != 3 or words[0] != "CONNECT":
        raise Refused("only CONNECT HOST:PORT is served")
    return words[1]


def destination(target: str) -> tuple[str, int]:
    """Returns host and port of `host:port`, as they are compared.

    Raises:
        Refused: it is none.

    """
    host, _, port = target.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Refused(f"{target!r} is no HOST:PORT")
    return plain_host(host), int(port)


def is_allowed(host: str, port: int, project: str, allowed: Allowed) -> bool:
    """Tells whether the operator lets a project reach a host."""
    return (host, port) in {destination(one) for one in (*allowed.get(project, ()), *allowed.get("*", ()))}


def _refusal(reason: str) -> bytes:
    body = reason.encode()
    return b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
