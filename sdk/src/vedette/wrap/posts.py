"""Clients that send every request through their method `post`: OpenAI's, Anthropic's, Groq's, Together's and their kin.

Their resources (`client.chat.completions`) take `post` from the client once, when they are first used. Whoever stands there sees
each request as it goes on the wire, once for each call of the user, whichever helper or raw form began it, retries within.
"""

import functools
from typing import TYPE_CHECKING, Any

from vedette.core import guarded
from vedette.wrap.call import Call, begin
from vedette.wrap.chat import CHAT
from vedette.wrap.embeddings import EMBEDDINGS
from vedette.wrap.look import look
from vedette.wrap.messages import MESSAGES
from vedette.wrap.operation import Operation
from vedette.wrap.providers import provider_of
from vedette.wrap.responses import RESPONSES
from vedette.wrap.streams import recorded, watch, watch_raw

if TYPE_CHECKING:
    from vedette.tracer import Tracer

OPERATIONS = {
    "/chat/completions": CHAT,
    "/responses": RESPONSES,
    "/v1/messages": MESSAGES,
    "/embeddings": EMBEDDINGS,
}
"""by the end of a path"""
_RAW = "X-Stainless-Raw-Response"
"""The header by which these clients tell themselves that the caller wants the response as it is."""
RESOURCES = ("chat", "messages", "responses", "embeddings")
MARK = "_vedette_wrapped"
"""stands on a client that was wrapped"""


def sends_posts(client: Any) -> bool:
    """Returns whether a client is of this kind and calls models."""
    bases = {base.__name__ for base in type(client).__mro__}
    return not bases.isdisjoint({"SyncAPIClient", "AsyncAPIClient"}) and any(
        hasattr(type(client), name) for name in RESOURCES
    )


def wrap_posts(client: Any, tracer: "Tracer | None") -> None:
    """Has a client, its resources and its copies record their calls of models."""
    provider = provider_of(client)

    def begun(path: str, *_: Any, **request: Any) -> Call | None:
        operation = _operation(path)
        return None if operation is None else begin(tracer, operation, provider, _body(request))

    client.post = recorded(client.post, begun, _settle)
    for name in ("copy", "with_options"):
        setattr(client, name, _copying(getattr(client, name), tracer))
    setattr(client, MARK, True)
    _rewire(client, client)


def _operation(path: str) -> Operation | None:
    found = OPERATIONS.get(path)
    if found is None:
        bare = path.partition("?")[0]
        found = next((operation for end, operation in OPERATIONS.items() if bare.endswith(end)), None)
    return found


def _body(request: dict[str, Any]) -> Any:
    body, extra = request.get("body"), look(request, "options", "extra_json")
    return {**body, **extra} if isinstance(body, dict) and isinstance(extra, dict) else body


def _settle(answer: Any, call: Call, request: dict[str, Any]) -> Any:
    streams = bool(request.get("stream"))
    headers = look(request, "options", "headers")
    if isinstance(headers, dict) and _RAW in headers:
        watch_raw(answer, call, streams=streams)
    elif streams:
        watch(answer, call)
    else:
        call.answered(answer)
    return answer


def _copying(copy: Any, tracer: "Tracer | None") -> Any:
    @functools.wraps(copy)
    def copied(*args: Any, **kwargs: Any) -> Any:
        made = copy(*args, **kwargs)
        guarded(wrap_posts)(made, tracer)
        return made

    return copied


def _rewire(holder: Any, client: Any) -> None:
    """Resources that were used before the client was wrapped kept the `post` of then."""
    for resource in list(vars(holder).values()):
        if look(resource, "_client") is client and hasattr(resource, "_post"):
            resource._post = client.post  # noqa: SLF001
            _rewire(resource, client)
