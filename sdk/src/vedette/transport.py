"""Requests over a connection that is kept open, and what their answers mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vedette.core import log

if TYPE_CHECKING:
    import requests

CONNECT_S, ANSWER_S = 3.0, 10.0
LONGEST_PAUSE_S = 30.0
"""that a server may ask for"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; status 0: nobody answered."""

    status: int
    body: bytes = b""
    retry_after_s: float = 0.0


Post = Callable[[str, bytes, Mapping[str, str]], Answer]


class Http:
    """Asks over one connection that is kept open; an answer may take `answer_s` seconds."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._session: requests.Session | None = None

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Posts a body and returns the server's answer."""
        return self.request("POST", url, body, headers)

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Returns the server's answer; redirects are not followed, the key stays with whom it is for."""
        import requests  # noqa: PLC0415 - dear to import, and only who asks needs it

        if self._session is None:
            self._session = requests.Session()
        try:
            answer = self._session.request(
                method,
                url,
                data=body,
                headers=dict(headers),
                timeout=(CONNECT_S, self._answer_s),
                allow_redirects=False,
                auth=lambda request: request,  # else a .netrc would replace our key
            )
        except (requests.RequestException, OSError) as error:
            log.debug("nobody answered", exc_info=error)
            return Answer(0)
        return Answer(answer.status_code, answer.content, _seconds(answer.headers.get("retry-after", "")))


def is_passing(answer: Answer) -> bool:
    """Whether the same may be taken later."""
    return answer.status in (0, 408, 429) or answer.status >= 500


def message(answer: Answer) -> str:
    """Returns what a refusal says: our JSON, or the google.rpc.Status by which OTLP answers."""
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # noqa: PLC0415 - dear to import

    try:
        told = json.loads(answer.body)["message"] if answer.body[:1] == b"{" else Status.FromString(answer.body).message
    except Exception:
        return ""
    return str(told)[:500]


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_PAUSE_S) if text.strip().isdigit() else 0.0
