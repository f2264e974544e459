"""Where a connection may lead whose host somebody else named: a tenant's webhook, an allow-listed host of a scorer.

An endpoint is resolved once, every one of its addresses must be public, and the caller connects to the address that was checked, with
the host as SNI and `Host`, and follows no redirect: a name that means another address a moment later has nothing to win.

    host, port = url_target("https://hooks.example.com/a")
    address = resolve(host, port)[0]          # blocks; in a loop: `await asyncio.to_thread(resolve, host, port)`
    aiohttp.TCPConnector(socket_factory=guarded_sockets(), use_dns_cache=False)          # or: checks each address as it connects

Ranges: IANA's IPv4 and IPv6 special-purpose address registries.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LookUp = Callable[[str, int], Iterable[str]]
AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` returns it."""

_UNICAST = ipaddress.ip_network("2000::/3")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_REFUSED = tuple(map(ipaddress.ip_network, ("2001::/23", "2002::/16", "3fff::/20", "192.88.99.0/24")))
"""Teredo and other protocols', 6to4, documentation, the relays of 6to4: older Pythons take some of them for public."""


class Refused(ValueError):
    """A host that may not be connected to; the text names it and says why."""


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Returns the networks of texts such as `10.1.0.0/16` or `127.0.0.1`.

    Raises:
        ValueError: a text is no network.

    """
    return tuple(map(ipaddress.ip_network, texts))


def url_target(
    url: str, schemes: Collection[str] = ("https",), ports: Collection[int] = (443,), hosts: Collection[str] = ()
) -> tuple[str, int]:
    """Returns host and port of a URL that may be called; with `hosts`, only these. A refusal never repeats the URL: it may be a secret.

    Raises:
        Refused: it has another scheme, port or host, or is written so that programs read it differently.

    """
    if "\\" in url or any(ord(char) < 33 or ord(char) == 127 for char in url):
        raise Refused("the URL contains spaces, control characters or a backslash: encode them")
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("the URL cannot be read: write it as https://host/path") from None
    host = plain_host(name)
    if parts.scheme not in schemes:
        raise Refused(f"the URL for {host} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if parts.username is not None or parts.password is not None:
        raise Refused(f"the URL for {host} carries a user or a password: send them in a header")
    port = port or (443 if parts.scheme == "https" else 80)
    if port not in ports:
        raise Refused(f"port {port} of {host} is not allowed, only {', '.join(map(str, ports))}")
    if hosts and host not in hosts:
        raise Refused(f"{host} is not allowed, only {', '.join(hosts)}")
    return host, port


def plain_host(text: str) -> str:
    """Returns a host as it is compared: lower case, ASCII, without brackets and without the dot at its end.

    Raises:
        Refused: it is no host.

    """
    try:
        host = text.strip("[]").rstrip(".").lower()
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Refused(f"{text!r} is no host: {error}") from None
    if not host:
        raise Refused(f"{text!r} is no host")
    return host


def addresses_of(host: str, port: int) -> list[str]:
    """Returns what the resolver of this machine says; it also reads numbers such as `2130706433` or `0x7f.1`."""
    return [found[4][0] for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]  # type: ignore[misc]


def resolve(host: str, port: int, private: Collection[Network] = (), look_up: LookUp = addresses_of) -> tuple[str, ...]:
    """Returns the addresses of a host, each of which may be connected to; blocks while the name is looked up.

    `private` are networks that the operator opens though they are not public.

    Raises:
        Refused: it does not resolve, or one of its addresses may not be connected to.

    """
    try:
        found = tuple(dict.fromkeys(look_up(host, port)))
    except OSError as error:
        raise Refused(f"{host} does not resolve: {error}") from None
    if not found:
        raise Refused(f"{host} does not resolve")
    for text in found:
        why = why_refused(text, private)
        if why:
            raise Refused(f"{host} is refused: {text} is {why}")
    return found


def why_refused(address: str, private: Collection[Network] = ()) -> str:
    """Returns what an address is that may not be connected to; empty when it may."""
    try:
        found = _inner(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return "no address"
    if any(found in network for network in private) or _is_public(found):
        return ""
    return "not a public address; the operator opens private networks with VEDETTE_PRIVATE_NETWORKS"


def guarded_sockets(private: Collection[Network] = (), *, encrypted: bool = True) -> Callable[..., socket.socket]:
    """Returns a maker of sockets for a connector of aiohttp: it raises `Refused` for an address that may not be connected to.

    With `encrypted=False`, for http://, private networks alone may be: elsewhere a key would be readable on its way.
    """

    def made(found: AddrInfo) -> socket.socket:
        family, kind, proto, _, (address, *_) = found
        why = why_refused(str(address), private)
        if not why and not encrypted and not why_refused(str(address)):
            why = "a public address: its URL must begin with https://, or keys are readable on their way"
        if why:
            raise Refused(f"{address} is {why}")
        return socket.socket(family, kind, proto)

    return made


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one only writes differently."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if any(address in network for network in _REFUSED) or address.is_multicast or address.is_reserved:
        return False
    return address.is_global and (address.version == 4 or address in _UNICAST)
