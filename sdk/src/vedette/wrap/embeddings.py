"""Embeddings, as OpenAI and all who took its form over speak them."""

from typing import Any

from vedette.wrap.look import Attributes, count_at, look, many, text_at
from vedette.wrap.operation import Operation

_BASE64_FLOATS = 4 * 4 / 3
"""characters of base64 that hold one number of four bytes"""


def asked(body: Any) -> Attributes:
    """Returns the attributes of a request. Its texts are its input; token numbers say nothing to a reader."""
    given, form = look(body, "input"), text_at(body, "encoding_format")
    texts = [given] if isinstance(given, str) else [one for one in many(given) if isinstance(one, str)]
    return {
        "gen_ai.request.model": text_at(body, "model"),
        "gen_ai.request.encoding_formats": [form] if form else None,
        "gen_ai.embeddings.dimension.count": count_at(body, "dimensions"),
        "vedette.input": texts,
    }


def answered(answer: Any) -> Attributes:
    """Returns the attributes of an answer; the vectors themselves stay out of spans."""
    first = next(iter(many(look(answer, "data"))), None)
    return {
        "gen_ai.response.model": text_at(answer, "model"),
        "gen_ai.embeddings.dimension.count": _dimensions(look(first, "embedding")),
        "gen_ai.usage.input_tokens": count_at(answer, "usage", "prompt_tokens"),
    }


def _dimensions(vector: Any) -> int | None:
    if isinstance(vector, str):
        return int(len(vector.rstrip("=")) / _BASE64_FLOATS) or None
    return len(vector) if isinstance(vector, list) else None


class Whole:
    """Embeddings come at once; were they ever streamed, the last chunk would tell most."""

    finished = True

    def __init__(self) -> None:
        self._last: Any = None

    def add(self, chunk: Any) -> None:
        """Takes the next chunk."""
        self._last = chunk

    def answer(self) -> Any:
        """Returns the last chunk."""
        return self._last


EMBEDDINGS = Operation(name="embeddings", asked=asked, answered=answered, gathering=Whole)
