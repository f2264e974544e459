"""Clients of any make that are shaped like OpenAI's: `client.chat.completions.create(model=…, messages=…)`."""

from collections.abc import Iterator
from inspect import isasyncgen, isgenerator
from typing import TYPE_CHECKING, Any

from vedette.wrap.call import Call, begin
from vedette.wrap.chat import CHAT
from vedette.wrap.embeddings import EMBEDDINGS
from vedette.wrap.look import look
from vedette.wrap.operation import Operation
from vedette.wrap.providers import provider_of
from vedette.wrap.streams import async_generator, generator, recorded, watch

if TYPE_CHECKING:
    from vedette.tracer import Tracer

RESOURCES = ((("chat", "completions"), CHAT), (("embeddings",), EMBEDDINGS))


def is_shaped(client: Any) -> bool:
    """Returns whether a client has something of this shape that stays where it is."""
    return any(_places(client))


def wrap_shaped(client: Any, tracer: "Tracer | None") -> None:
    """Has the methods `create` of a client record their calls."""
    for resource, operation in _places(client):
        _wrap(resource, operation, provider_of(client), tracer)


def _places(client: Any) -> Iterator[tuple[Any, Operation]]:
    """A resource that is made anew at each look cannot be wrapped for one client alone."""
    for path, operation in RESOURCES:
        resource = look(client, *path)
        if callable(getattr(resource, "create", None)) and resource is look(client, *path):
            yield resource, operation


def _wrap(resource: Any, operation: Operation, provider: dict[str, Any], tracer: "Tracer | None") -> None:
    def begun(*_: Any, **request: Any) -> Call | None:
        return begin(tracer, operation, provider, request)

    resource.create = recorded(resource.create, begun, _settle)


def _settle(answer: Any, call: Call, request: dict[str, Any]) -> Any:
    if not request.get("stream"):
        call.answered(answer)
    elif isgenerator(answer):
        return generator(lambda: answer, lambda: call)
    elif isasyncgen(answer):
        return async_generator(answer, call)
    else:
        watch(answer, call)
    return answer
