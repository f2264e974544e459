"""Google's client of Gemini: `client.models` and `client.aio.models`, by the methods that send one request each.

Above them the client calls functions by itself and continues long answers; every request of that is a call of its own.
"""

from collections.abc import Callable
from functools import wraps
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any

from vedette.wrap.call import Call, begin
from vedette.wrap.gemini import EMBEDDINGS, GENERATE
from vedette.wrap.look import Attributes, look
from vedette.wrap.operation import Operation
from vedette.wrap.streams import async_generator, generator, recorded

if TYPE_CHECKING:
    from vedette.tracer import Tracer

METHODS = {
    "_generate_content": GENERATE,
    "_generate_content_stream": GENERATE,
    "embed_content": EMBEDDINGS,
}


def is_google(client: Any) -> bool:
    """Returns whether a client is Google's, synchronous or not."""
    return any(base.__module__ == "google.genai.client" for base in type(client).__mro__) and hasattr(client, "models")


def wrap_google(client: Any, tracer: "Tracer | None") -> None:
    """Has a client and its asynchronous half record their calls of models."""
    for half in (client, look(client, "aio")):
        if half is not None:
            _wrap(half.models, _provider(half.models), tracer)


def _provider(models: Any) -> Attributes:
    cloud = look(models, "_api_client", "vertexai")
    return {"gen_ai.provider.name": "gcp.vertex_ai" if cloud else "gcp.gemini"}


def _wrap(models: Any, provider: Attributes, tracer: "Tracer | None") -> None:
    for name, operation in METHODS.items():
        method = getattr(models, name, None) or getattr(models, name.removeprefix("_"), None)
        if callable(method):
            setattr(models, method.__name__, _recorded(method, operation, provider, tracer))


def _recorded(
    method: Callable[..., Any], operation: Operation, provider: Attributes, tracer: "Tracer | None"
) -> Callable[..., Any]:
    def begun(**request: Any) -> Call | None:
        return begin(tracer, operation, provider, request)

    @wraps(method)
    def generated(**request: Any) -> Any:
        return generator(lambda: method(**request), lambda: begun(**request))

    return generated if isgeneratorfunction(method) else recorded(method, begun, _settle)


def _settle(answer: Any, call: Call, request: dict[str, Any]) -> Any:  # noqa: ARG001
    if hasattr(answer, "__anext__"):
        return async_generator(answer, call)
    call.answered(answer)
    return answer
