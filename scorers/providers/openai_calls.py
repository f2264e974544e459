"""The part of OpenAI's API that hosted scorers may use: which calls, what they may cost at most, what they did use. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.otlp.cost import cost

PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/moderations")
OUTPUT_TOKENS = 4096
"""What a call that sets no limit is taken to answer at most, until it has."""
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_OWN_TOOLS = ("function", "custom")


class NotAllowed(Exception):
    """A refusal in OpenAI's shape; its client raises it in the scorer with the message."""

    def __init__(self, status: int, message: str, code: str = "not_allowed") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    def body(self) -> dict[str, Any]:
        """Returns what is answered."""
        kind = (
            "rate_limit_error"
            if self.status == 429
            else "server_error"
            if self.status >= 500
            else "invalid_request_error"
        )
        return {"error": {"message": f"Vedette: {self.message}", "type": kind, "param": None, "code": self.code}}


@dataclass(frozen=True)
class Asked:
    """A call that may be made."""

    path: str
    model: str
    body: bytes
    """As it goes to the provider: a stream is asked for its usage."""
    at_us: int
    most_usd: float | None
    """None: the model has no known price."""
    hides_usage: bool = False
    """The scorer has not asked for the usage of its stream."""

    def hides(self, event: object) -> bool:
        """Tells whether an event brings nothing but the usage that the scorer has not asked for."""
        return self.hides_usage and isinstance(event, dict) and not event.get("choices")


@dataclass
class Usage:
    """What a call used, as the provider tells it."""

    outcome: str = "failed"
    told: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def read(self, answer: object, asked: Asked) -> bool:
        """Takes the usage out of an answer or an event of one; tells whether there was any."""
        inner = answer.get("response", answer) if isinstance(answer, dict) else {}
        used = inner.get("usage") if isinstance(inner, dict) else None
        if not isinstance(used, dict):
            return False
        self.told = True
        self.input_tokens = _count(used, "prompt_tokens", "input_tokens")
        self.output_tokens = _count(used, "completion_tokens", "output_tokens")
        cached = _count(_details(used, "prompt_tokens_details", "input_tokens_details"), "cached_tokens")
        self.usd = cost("openai", asked.model, asked.at_us, self.input_tokens, self.output_tokens, cached) or 0.0
        return True


def ask(method: str, path: str, content: bytes, models: Sequence[str], at_us: int) -> Asked:
    """Returns the call that a scorer asks for.

    Raises:
        NotAllowed: it is none that may be made; the message says why.

    """
    if method != "POST" or path not in PATHS:
        raise NotAllowed(404, f"{method} {path} is not passed on, only POST {', '.join(PATHS)} and GET /models")
    body = _object(content)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise NotAllowed(400, "the request names no model")
    if models and model not in models:
        raise NotAllowed(403, f"the model {model!r} is not allowed, only {', '.join(models)}", "model_not_allowed")
    _refuse_tools(body)
    body, hides = _with_usage(body) if path.endswith("/completions") and body.get("stream") else (body, False)
    most = cost("openai", model, at_us, len(content), _most_output(body))
    return Asked(path, model, orjson.dumps(body), at_us, most, hides)


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise NotAllowed(400, f"the request is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise NotAllowed(400, "the request is no JSON object")
    return body


def _refuse_tools(body: Mapping[str, Any]) -> None:
    """Tools that the provider runs reach the internet for the scorer, past its allowed hosts, and cost more than tokens."""
    tools = body.get("tools") or []
    kinds = (
        [tool.get("type") if isinstance(tool, dict) else tool for tool in tools] if isinstance(tools, list) else [tools]
    )
    foreign = [str(kind) for kind in kinds if kind not in _OWN_TOOLS]
    foreign += [name for name in ("web_search_options", "background") if body.get(name)]
    if foreign:
        raise NotAllowed(403, f"{', '.join(foreign)}: only tools of type {' and '.join(_OWN_TOOLS)} are passed on")


def _with_usage(body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    options = body.get("stream_options") or {}
    if isinstance(options, dict) and not options.get("include_usage"):
        return body | {"stream_options": options | {"include_usage": True}}, True
    return body, False


def _most_output(body: Mapping[str, Any]) -> int:
    told = next((body[name] for name in _LIMITS if isinstance(body.get(name), int)), OUTPUT_TOKENS)
    answers = body.get("n")
    return max(told, 0) * (answers if isinstance(answers, int) and answers > 0 else 1)


def _count(used: Mapping[str, Any], *names: str) -> int:
    return next((used[name] for name in names if isinstance(used.get(name), int) and used[name] >= 0), 0)


def _details(used: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((used[name] for name in names if isinstance(used.get(name), dict)), {})


def json_of(content: bytes) -> Any:
    """Returns the JSON value of a text, None when it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def error_message(content: bytes) -> str:
    """Returns what a provider says went wrong."""
    answer = json_of(content)
    told = answer.get("error") if isinstance(answer, dict) else None
    told = told.get("message") if isinstance(told, dict) else told
    return str(told or content.decode(errors="replace")).strip()[:300]
