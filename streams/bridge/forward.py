"""What the bridge does not answer itself: passed on to the api job as it comes, and back."""

import asyncio
from urllib.parse import quote

import aiohttp
import structlog
from yarl import URL

from streams.bridge.answer import Form, Headers, Refused
from streams.bridge.rsgi import HTTPProtocol, Scope

log = structlog.get_logger()

HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""They belong to one connection (RFC 9110 §7.6.1)."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=360)
"""An upload is answered when it is built."""


class Forward:
    """A client of the api job."""

    def __init__(self, api_url: str) -> None:
        self._api = api_url.rstrip("/")
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def pass_on(self, scope: Scope, proto: HTTPProtocol, form: Form) -> None:
        """Answers with what the api answers, or in this form 502 or 503 with the way out when it does not."""
        try:
            await self._exchange(scope, proto)
        except Refused as refused:
            answer = refused.answer(form)
            proto.response_bytes(answer.status, answer.all_headers(), answer.body)

    async def _exchange(self, scope: Scope, proto: HTTPProtocol) -> None:
        if ".." in scope.path.split("/"):
            raise Refused(404, f"there is no {scope.path} here")
        response = await self._asked(scope, proto)
        async with response:
            out = proto.response_stream(
                response.status, _kept([(name.lower(), value) for name, value in response.headers.items()])
            )
            async for part in response.content.iter_any():
                await out.send_bytes(part)

    async def _asked(self, scope: Scope, proto: HTTPProtocol) -> aiohttp.ClientResponse:
        headers = _kept(scope.headers.items())
        headers += [
            ("x-forwarded-for", scope.client.rpartition(":")[0]),
            ("x-forwarded-host", scope.headers.get("host", "")),
        ]
        try:
            return await self._session.request(
                scope.method,
                self._url(scope),
                headers=[h for h in headers if h[0] != "host"],
                data=_body(scope, proto),
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, TimeoutError):
            raise Refused(
                503,
                f"the api job does not answer at {self._api}; start `vedette api` or set VEDETTE_API_URL (ingest goes on)",
                2,
            ) from None
        except aiohttp.ClientError as error:
            log.warning("the api job failed", error=str(error), path=scope.path)
            raise Refused(
                502, f"the api job at {self._api} broke off: {type(error).__name__}; its log tells why"
            ) from None

    def _url(self, scope: Scope) -> URL:
        query = f"?{scope.query_string}" if scope.query_string else ""
        return URL(self._api + quote(scope.path, safe="/:@!$&'()*+,;=~-._") + query, encoded=True)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()
        await asyncio.sleep(0)


def _kept(headers: Headers) -> Headers:
    named = {name.strip().lower() for key, value in headers if key == "connection" for name in value.split(",")}
    return [(name, value) for name, value in headers if name not in HOP_BY_HOP and name not in named]


def _body(scope: Scope, proto: HTTPProtocol) -> HTTPProtocol | None:
    """Aiohttp sends an async iterable in chunks, or by the content length if that is among the headers."""
    has_body = "content-length" in scope.headers or "transfer-encoding" in scope.headers
    return proto if has_body else None
