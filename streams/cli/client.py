"""The api over HTTP, for commands: small, because every command starts with importing it."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from streams.cli.failure import Failure


class ApiError(Failure):
    """The api refused, or did not answer (status 0)."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("message") or body))
        self.status = status
        self.body = body


class Client:
    """Calls the api with one key; answers are JSON data."""

    def __init__(self, url: str, key: str, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s

    def within(self, timeout_s: float) -> "Client":
        """Returns a client that waits so long for an answer, in seconds."""
        return Client(self.url, self._key, timeout_s)

    def get(self, path: str, **query: str | None) -> Any:
        """Returns the answer to GET. Raises `ApiError`."""
        return self._call("GET", path, None, query)

    def put(self, path: str, body: Any, **query: str | None) -> Any:
        """Returns the answer to PUT. Raises `ApiError`."""
        return self._call("PUT", path, body, query)

    def post(self, path: str, body: Any, **query: str | None) -> Any:
        """Returns the answer to POST. Raises `ApiError`."""
        return self._call("POST", path, body, query)

    def delete(self, path: str, **query: str | None) -> Any:
        """Returns the answer to DELETE. Raises `ApiError`."""
        return self._call("DELETE", path, None, query)

    def _call(self, method: str, path: str, body: Any, query: dict[str, str | None]) -> Any:
        asked = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        url = f"{self.url}{path}{'?' + asked if asked else ''}"
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, _refusal(error)) from error
        except (TimeoutError, urllib.error.URLError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            message = f"the api at {self.url} does not answer ({reason}); see `vedette status`"
            raise ApiError(0, {"error": "unreachable", "message": message}) from error


def _refusal(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        body = json.load(error)
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"error": "http", "message": f"{error.code} {error.reason}"}
