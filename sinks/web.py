"""Requests of sinks: one attempt, no redirects, only to addresses that were checked; and what an answer's status means."""

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from sinks.egress import Egress
from sinks.sink import Permanent, Transient

MOST_BYTES = 64 * 1024
"""Of an answer are read."""


@dataclass(frozen=True)
class Answer:
    """What a server said; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def post(url: str, body: bytes, headers: Mapping[str, str], egress: Egress, timeout_s: float, who: str) -> Answer:
    """Posts once and returns the answer, whatever its status. `who` names the other side in reasons.

    Raises:
        Transient: it cannot be reached.
        Permanent: its host is at an address where nothing may be sent to.

    """
    proxy = proxy_of(url)
    connector = await egress.connector(url, proxied=proxy is not None)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session,
            session.post(url, data=body, headers=headers, proxy=proxy, allow_redirects=False) as answer,
        ):
            said = await answer.content.read(MOST_BYTES)
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, said)
    except aiohttp.InvalidURL:
        raise Permanent(f"{url!r} is no URL: correct the destination") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Transient(f"{who} cannot be reached: {type(error).__name__}") from None


def failure(answer: Answer, who: str, remedy: str) -> Transient | Permanent:
    """Returns what an answer without success means: 429, 408 and 5xx may pass, redirects and other refusals will not."""
    status = answer.status
    if status == 429:
        return Transient(f"{who} asks to slow down", retry_after(answer.headers))
    if status >= 500 or status == 408:
        return Transient(f"{who} answers {status}", retry_after(answer.headers))
    if 300 <= status < 400:
        return Permanent(f"{who} answers {status}, and redirects are not followed: name the address that it leads to")
    return Permanent(f"{who} answers {status}: {remedy}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds that a `Retry-After` header asks for; None when there is none, or a date."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(text) if re.fullmatch(r"\d{1,9}", text.strip()) else None


def proxy_of(url: str) -> str | None:
    """Returns the proxy that the environment names for a URL, with NO_PROXY in mind."""
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)
