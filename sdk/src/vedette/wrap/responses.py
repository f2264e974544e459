"""OpenAI's responses: a request of items, an answer of items, a stream of named events."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from vedette.wrap import parts
from vedette.wrap.chat import parameters
from vedette.wrap.look import Attributes, count_at, look, many, number_at, text_at
from vedette.wrap.operation import Operation
from vedette.wrap.parts import Part

PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_output_tokens": "gen_ai.request.max_tokens",
}
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Events that end a stream and hold the whole response."""
_CALLS = frozenset({"function_call", "custom_tool_call"})


def asked(body: Any) -> Attributes:
    """Returns the attributes of a request."""
    instructions = text_at(body, "instructions")
    form = text_at(body, "text", "format", "type")
    given = look(body, "input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else many(given)
    return {
        "gen_ai.request.model": text_at(body, "model"),
        **parameters(body, PARAMETERS),
        "gen_ai.request.stream": True if look(body, "stream") is True else None,
        "gen_ai.output.type": form and ("json" if form.startswith("json") else form),
        "gen_ai.conversation.id": text_at(body, "conversation", "id") or text_at(body, "conversation"),
        "gen_ai.system_instructions": instructions and [parts.text(instructions)],
        "gen_ai.input.messages": [_asked(item) for item in items],
        "gen_ai.tool.definitions": [parts.definition(tool) for tool in many(look(body, "tools"))],
        "openai.api.type": "responses",
        "openai.request.service_tier": text_at(body, "service_tier"),
    }


def answered(answer: Any) -> Attributes:
    """Returns the attributes of a whole response."""
    items = list(many(look(answer, "output")))
    reason = _reason(answer, items)
    said = parts.message("assistant", (part for item in items for part in _parts(item)), reason or "")
    return {
        "gen_ai.response.id": text_at(answer, "id"),
        "gen_ai.response.model": text_at(answer, "model"),
        "gen_ai.response.finish_reasons": [reason] if reason else None,
        "gen_ai.conversation.id": text_at(answer, "conversation", "id"),
        "gen_ai.output.messages": [said] if said["parts"] else None,
        "openai.response.service_tier": text_at(answer, "service_tier"),
        **_used(look(answer, "usage")),
    }


def failure(answer: Any) -> str | None:
    """Returns what the model failed with, although the request was accepted."""
    error = look(answer, "error")
    return None if error is None else f"{text_at(error, 'code') or 'error'}: {text_at(error, 'message') or ''}"


def _used(usage: Any) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": count_at(usage, "input_tokens"),
        "gen_ai.usage.output_tokens": count_at(usage, "output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": count_at(usage, "input_tokens_details", "cached_tokens"),
        "gen_ai.usage.cache_creation.input_tokens": count_at(usage, "input_tokens_details", "cache_write_tokens"),
        "gen_ai.usage.reasoning.output_tokens": count_at(usage, "output_tokens_details", "reasoning_tokens"),
        "gen_ai.usage.cost": number_at(usage, "cost"),
    }


def _reason(answer: Any, items: list[Any]) -> str | None:
    status = text_at(answer, "status")
    if status == "incomplete":
        why = text_at(answer, "incomplete_details", "reason")
        return "length" if why == "max_output_tokens" else why
    if status == "failed":
        return "error"
    if status != "completed":
        return None
    return "tool_calls" if any(look(item, "type") in _CALLS for item in items) else "stop"


def _asked(item: Any) -> dict[str, Any]:
    kind = text_at(item, "type")
    role = "tool" if kind and kind.endswith("_output") else text_at(item, "role")
    return parts.message(role or ("assistant" if kind else "user"), _parts(item))


def _parts(item: Any) -> Iterator[Part]:
    kind = text_at(item, "type") or "message"
    if kind == "message":
        content = look(item, "content")
        yield from [parts.text(content)] if isinstance(content, str) else map(_content, many(content))
    elif kind in _CALLS:
        arguments = look(item, "arguments") or look(item, "input")
        yield parts.tool_call(text_at(item, "call_id"), text_at(item, "name"), arguments)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        yield parts.tool_answer(text_at(item, "call_id"), look(item, "output"))
    elif kind == "reasoning":
        for thought in [*many(look(item, "summary")), *many(look(item, "content"))]:
            yield parts.reasoning(text_at(thought, "text") or "")
    else:
        yield parts.other(item)


def _content(item: Any) -> Part:
    if refused := text_at(item, "refusal"):
        return parts.refusal(refused)
    if (words := text_at(item, "text")) is not None:
        return parts.text(words)
    modality = "image" if look(item, "type") == "input_image" else "document"
    for name in ("image_url", "file_url", "file_data"):
        if address := text_at(item, name):
            return parts.uri(address, modality=modality)
    if file_id := text_at(item, "file_id"):
        return parts.file(file_id, modality)
    return parts.other(item)


class Events:
    """The events of one streamed response."""

    finished = False

    def __init__(self) -> None:
        self._whole: Any = {}
        self._items: dict[int, Any] = {}
        self._texts: dict[int, list[str]] = defaultdict(list)

    def add(self, event: Any) -> None:
        """Takes the next event."""
        kind, place = look(event, "type"), count_at(event, "output_index") or 0
        if kind in _LAST or kind == "response.created":
            self._whole, self.finished = look(event, "response"), kind in _LAST
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[place] = look(event, "item")
        elif kind in ("response.output_text.delta", "response.function_call_arguments.delta"):
            self._texts[place].append(text_at(event, "delta") or "")
        elif kind == "error":
            self._whole, self.finished = {"error": event}, True

    def answer(self) -> Any:
        """Returns the whole response, before its last event what came of it."""
        if self.finished and not self._items:
            return self._whole
        if self.finished and many(look(self._whole, "output")):
            return self._whole
        names = ("id", "model", "status", "usage", "error", "incomplete_details")
        told = {name: look(self._whole, name) for name in names}
        return {**told, "output": [self._item(place) for place in sorted(self._items)]}

    def _item(self, place: int) -> Any:
        item, words = self._items[place], "".join(self._texts[place])
        if look(item, "status") != "in_progress" or not words:
            return item
        if look(item, "type") in _CALLS:
            call = {name: look(item, name) for name in ("type", "call_id", "name")}
            return {**call, "arguments": words}
        return {"type": "message", "content": words}


RESPONSES = Operation(name="chat", asked=asked, answered=answered, gathering=Events, failure=failure)
