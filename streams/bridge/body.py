"""Reading a body: in bounded time, into bounded memory."""

import asyncio
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cramjam
from isal import isal_zlib

from streams.bridge.answer import Refused
from streams.bridge.limits import MIB, Limits
from streams.bridge.rsgi import Headers, HTTPProtocol

RATIO_FREE_BYTES = 4 * MIB
"""So much may come out of however little."""

ENCODINGS = ("gzip", "deflate", "zstd")
"""In which a body may come, besides as it is."""


class Held:
    """Bytes of all bodies that the bridge has taken on and not answered."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.bytes = 0

    @contextmanager
    def request(self) -> Iterator[Callable[[int], None]]:
        """Yields a function that counts bytes in, and counts them out when the request is answered.

        Raises:
            Refused: 503 from that function, the bridge holds as much as it may.

        """
        taken = 0

        def charge(size: int) -> None:
            nonlocal taken
            if self.bytes + size > self._most:
                raise Refused(
                    503, f"the bridge holds {self.bytes} bytes that wait for Kafka; send again", retry_after_s=2
                )
            self.bytes += size
            taken += size

        try:
            yield charge
        finally:
            self.bytes -= taken


async def read(headers: Headers, proto: HTTPProtocol, limits: Limits, charge: Callable[[int], None]) -> bytes:
    """Returns the body as it was sent; `charge` is told its bytes before they are read, or as they come.

    Raises:
        Refused: 400, 408 or 413.

    """
    length = declared_length(headers, limits)
    try:
        async with asyncio.timeout(limits.read_s):
            if length is None:
                return await _chunks(proto, limits, charge)
            charge(length)
            return await proto()
    except TimeoutError:
        raise Refused(408, f"the body did not come within {limits.read_s:g} s") from None


def declared_length(headers: Headers, limits: Limits) -> int | None:
    """Returns the content length, or None for a chunked body.

    Raises:
        Refused: 400 or 413.

    """
    text = headers.get("content-length")
    if text is None:
        return None if "transfer-encoding" in headers else 0
    if not text.isdecimal():
        raise Refused(400, f"content-length {text!r} is no number")
    if int(text) > limits.body_bytes:
        raise _too_large(f"{int(text)} bytes", limits)
    return int(text)


async def _chunks(proto: HTTPProtocol, limits: Limits, charge: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in proto:
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(f"more than {limits.body_bytes} bytes", limits)
        charge(len(part))
        parts.append(part)
    return b"".join(parts)


def _too_large(what: str, limits: Limits) -> Refused:
    return Refused(413, f"the body takes {what}, at most {limits.body_bytes} are taken; send smaller batches")


def inflate(body: bytes, encoding: str, limits: Limits) -> bytes:
    """Returns a body without its content encoding.

    Raises:
        Refused: 400 damaged or cut short, 413 too large, 415 another encoding.

    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ENCODINGS:
        raise Refused(
            415,
            f"content-encoding {encoding!r} is not taken; send {', '.join(ENCODINGS)} or identity",
            accept_encoding=", ".join(ENCODINGS),
        )
    most = min(limits.body_bytes, max(RATIO_FREE_BYTES, limits.inflate_ratio * len(body)))
    try:
        return _frames(body, most) if encoding == "zstd" else _members(body, _window_bits(body, encoding), most)
    except (isal_zlib.error, cramjam.DecompressionError, EOFError) as error:  # type: ignore[misc]  # isal's stubs do not tell the base
        raise Refused(400, f"the body is not {encoding}: {error}") from None


def _window_bits(body: bytes, encoding: str) -> int:
    if encoding == "gzip":
        return 31
    return 15 if body[:1] and body[0] & 15 == 8 else -15  # without zlib's header, as some clients send it


def _frames(body: bytes, most: int) -> bytes:
    """All zstd frames, into memory that takes no room before it is written to."""
    if not body:
        return b""
    with mmap.mmap(-1, most) as room:
        try:
            return room[: cramjam.zstd.decompress_into(body, room)]
        except cramjam.DecompressionError as error:
            if "whole buffer" in str(error):
                raise _bomb(most) from None
            raise


def _members(body: bytes, bits: int, most: int) -> bytes:
    """All gzip members: a second one is data too."""
    parts: list[bytes] = []
    size, rest = 0, body
    while rest:
        stream = isal_zlib.decompressobj(bits)
        part = stream.decompress(rest, most - size + 1)
        size += len(part)
        parts.append(part)
        if size > most:
            raise _bomb(most)
        if not stream.eof:
            raise EOFError("it ends too early")
        rest = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bomb(most: int) -> Refused:
    return Refused(413, f"the body inflates to more than {most} bytes; send smaller batches")
