"""Where sinks connect: a destination's host is resolved once, its addresses are checked, and the connection goes to one of them."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from schemas.net_guard import Network, Refused, addresses_of, resolve, url_target, why_refused
from sinks.sink import Permanent, Transient

ANY_PORT = range(1, 65536)


@dataclass(frozen=True)
class Egress:
    """The networks that the operator opens to destinations though they are not public."""

    private: tuple[Network, ...] = ()

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Returns the addresses of a host, each of which may be connected to.

        Raises:
            Transient: its name cannot be looked up now.
            Permanent: one of them may not be connected to; the reason says which setting allows it.

        """
        try:
            found = await asyncio.to_thread(addresses_of, host, port)
        except (OSError, UnicodeError) as error:
            raise Transient(f"{host} does not resolve: {type(error).__name__}") from None
        try:
            return resolve(host, port, self.private, lambda *_: found)
        except Refused as refused:
            raise Permanent(str(refused)) from None

    async def connector(self, url: str, *, proxied: bool = False) -> aiohttp.TCPConnector:
        """Returns a connector that connects to checked addresses of the URL's host and to nothing else, wherever a redirect leads.

        With a proxy of the operator's own it is the proxy that connects. Public hosts are spoken to by https on port 443 alone, opened
        ones as the URL says.

        Raises:
            Transient, Permanent: as `addresses`; the URL is none that may be called.

        """
        try:
            host, port = url_target(url, ("http", "https", "ws", "wss"), ANY_PORT)
            if proxied:
                return aiohttp.TCPConnector()
            found = await self.addresses(host, port)
            if not any(why_refused(address) for address in found):
                url_target(url, ("https", "wss"))
        except Refused as refused:
            raise Permanent(str(refused)) from None
        return aiohttp.TCPConnector(resolver=_Checked(found), socket_factory=lambda wanted: _socket(wanted, found))

    async def connection(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Returns a socket that is connected to a checked address of a host. Raises `Transient`, `Permanent`, `OSError`, `TimeoutError`."""
        address = (await self.addresses(host, port))[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.settimeout(0)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made


PUBLIC = Egress()
"""No private network."""


class _Checked(AbstractResolver):
    """Knows the addresses that were checked, by whatever name they are asked for."""

    def __init__(self, found: tuple[str, ...]) -> None:
        self._found = found

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002
    ) -> list[ResolveResult]:
        """Returns them all."""
        return [_result(host, port, address) for address in self._found]

    async def close(self) -> None:
        """Has nothing open."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


def _socket(wanted: Any, found: tuple[str, ...]) -> socket.socket:
    """An address that stands in a URL is not looked up: it is checked here."""
    family, kind, proto, _, address = wanted
    if address[0] not in found:
        raise OSError(f"{address[0]} is not where the destination is")
    return socket.socket(family, kind, proto)
