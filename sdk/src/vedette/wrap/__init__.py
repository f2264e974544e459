"""`wrap`: a provider's client that reports each of its calls of a model.

No provider's library is imported here; a client is known by what its classes are called and where they come from.
"""

from typing import TYPE_CHECKING, TypeVar

from vedette.core import log
from vedette.wrap.google import is_google, wrap_google
from vedette.wrap.posts import MARK, sends_posts, wrap_posts
from vedette.wrap.shaped import is_shaped, wrap_shaped

if TYPE_CHECKING:
    from vedette.tracer import Tracer

__all__ = ["wrap"]

C = TypeVar("C")

KINDS = ((is_google, wrap_google), (sends_posts, wrap_posts), (is_shaped, wrap_shaped))


def wrap(client: C, tracer: "Tracer | None" = None) -> C:
    """Has this one client report its calls of models as spans, and returns it; other clients stay as they are.

    Known are the clients of OpenAI (chat, responses, embeddings), Anthropic, Google Gemini, Groq and Together, synchronous or
    not, their subclasses, and whatever has OpenAI's shape. Streams are watched while the caller reads them. What the provider
    raises reaches the caller as it is; a failure of ours never does. A client that is wrapped already stays so.

    Args:
        client: a provider's client. An unknown one is returned as it is, with a warning in the log.
        tracer: takes the spans; without one they go to the tracer whose span is current, else to the first.
    """
    if getattr(client, "__dict__", {}).get(MARK):
        return client
    try:
        _wrap(client, tracer)
    except Exception as error:
        log.warning("%s could not be wrapped, its calls are not reported: %s", _name(client), type(error).__name__)
        log.debug("wrap failed", exc_info=error)
    return client


def _wrap(client: object, tracer: "Tracer | None") -> None:
    way = next((wrap_it for knows, wrap_it in KINDS if knows(client)), None)
    if way is None:
        log.warning("%s is no client that wrap knows, its calls are not reported", _name(client))
        return
    way(client, tracer)
    setattr(client, MARK, True)


def _name(client: object) -> str:
    return f"{type(client).__module__}.{type(client).__qualname__}"
