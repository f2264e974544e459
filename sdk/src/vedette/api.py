"""What asks the server and waits for its answer: evaluations and datasets. Unlike a tracer it raises."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from vedette import __version__
from vedette.address import Address, find, project_header
from vedette.transport import Answer, Http, is_passing, message

TRIES = 5
"""of one call, within some ten seconds"""

FIRST_PAUSE_S = 0.5
ANSWER_S = 60.0

NOWHERE = (
    "no complete pair of URL and key was found: set VEDETTE_API_URL and VEDETTE_API_KEY (`vedette up` prints them), "
    "or give VedetteClient(api_url=, api_key=)"
)


class ServerError(Exception):
    """The server refused, or nobody answered (`status` 0). Its text says what to do."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Api:
    """One project of a server."""

    def __init__(self, address: Address, project: str, http: Http | None = None) -> None:
        self.address = address
        self.project = project
        self._http = http or Http(ANSWER_S)
        self._headers = {
            **address.headers,
            **project_header(project),
            "user-agent": f"vedette-python/{__version__}",
            "content-type": "application/json",
        }

    def call(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """Returns what the server answers, after a few trials if it cannot answer now.

        Raises:
            ServerError: it refused, or did not answer.

        """
        told = {name: value for name, value in query.items() if value is not None}
        url = self.address.base + path + (f"?{urlencode(told)}" if told else "")
        answer = self._answered(method, url, self._written(body))
        if 200 <= answer.status < 300:
            return _read(answer)
        raise ServerError(answer.status, self._refusal(method, path, answer))

    def _written(self, body: object) -> bytes:
        """A body without our own key, which may stand in somebody's example."""
        if body is None:
            return b""
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        key = self.address.key.encode()
        return text.replace(key, b"*" * len(key))

    def _answered(self, method: str, url: str, body: bytes) -> Answer:
        for trial in range(TRIES):
            answer = self._http.request(method, url, body, self._headers)
            if not is_passing(answer) or trial == TRIES - 1:
                break
            time.sleep(max(answer.retry_after_s, FIRST_PAUSE_S * 2**trial))
        return answer

    def _refusal(self, method: str, path: str, answer: Answer) -> str:
        if not answer.status:
            return f"nobody answers at {self.address.base}; is the server up, and VEDETTE_API_URL right?"
        return message(answer) or f"{self.address.base} answered {answer.status} to {method} {path}"


def api(project: str | None, url: str | None = None, key: str | None = None) -> Api:
    """Returns the server that the constructor, else the environment, names; the project else is `VEDETTE_PROJECT`, else `default`.

    Raises:
        ValueError: none is named; the text says how.

    """
    address = find(url, key, os.environ)
    if address is None:
        raise ValueError(NOWHERE)
    return Api(address, project or os.environ.get("VEDETTE_PROJECT") or "default")


def in_path(name: str) -> str:
    """Returns a name as a part of a path."""
    return quote(name, safe="")


def _read(answer: Answer) -> Any:
    try:
        found: Mapping[str, Any] = json.loads(answer.body)
    except ValueError:
        raise ServerError(
            answer.status, "the answer is no JSON: is VEDETTE_API_URL that of a Vedette server?"
        ) from None
    return found
