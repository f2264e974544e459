"""Anthropic's messages."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from vedette.wrap import parts
from vedette.wrap.chat import parameters
from vedette.wrap.look import Attributes, count_at, look, many, text_at
from vedette.wrap.operation import Operation
from vedette.wrap.parts import Part

PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
}


def asked(body: Any) -> Attributes:
    """Returns the attributes of a request."""
    system = look(body, "system")
    form = look(body, "output_config", "format") or look(body, "output_format")
    return {
        "gen_ai.request.model": text_at(body, "model"),
        **parameters(body, PARAMETERS),
        "gen_ai.request.stop_sequences": list(many(look(body, "stop_sequences"))) or None,
        "gen_ai.request.stream": True if look(body, "stream") is True else None,
        "gen_ai.output.type": "json" if text_at(form, "type") == "json_schema" else None,
        "gen_ai.system_instructions": list(_parts(system)),
        "gen_ai.input.messages": [_asked(said) for said in many(look(body, "messages"))],
        "gen_ai.tool.definitions": [parts.definition(tool) for tool in many(look(body, "tools"))],
    }


def answered(answer: Any) -> Attributes:
    """Returns the attributes of a whole message."""
    reason = text_at(answer, "stop_reason")
    said = parts.message("assistant", _parts(look(answer, "content")), reason or "")
    return {
        "gen_ai.response.id": text_at(answer, "id"),
        "gen_ai.response.model": text_at(answer, "model"),
        "gen_ai.response.finish_reasons": [reason] if reason else None,
        "gen_ai.output.messages": [said] if said["parts"] else None,
        **_used(look(answer, "usage")),
    }


def _used(usage: Any) -> Attributes:
    """Anthropic counts cached tokens beside its input; the conventions count them as a part of it."""
    fresh = count_at(usage, "input_tokens")
    cached, written = (count_at(usage, f"cache_{way}_input_tokens") for way in ("read", "creation"))
    return {
        "gen_ai.usage.input_tokens": None if fresh is None else fresh + (cached or 0) + (written or 0),
        "gen_ai.usage.output_tokens": count_at(usage, "output_tokens"),
        "gen_ai.usage.cache_read.input_tokens": cached,
        "gen_ai.usage.cache_creation.input_tokens": written,
        "gen_ai.usage.reasoning.output_tokens": count_at(usage, "output_tokens_details", "thinking_tokens"),
    }


def _asked(said: Any) -> dict[str, Any]:
    found = list(_parts(look(said, "content")))
    answers = bool(found) and all(part["type"] == "tool_call_response" for part in found)
    return parts.message("tool" if answers else text_at(said, "role") or "user", found)


def _parts(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        yield parts.text(content)
    yield from map(_part, many(content))


def _part(block: Any) -> Part:
    kind = text_at(block, "type") or ""
    if kind == "text":
        return parts.text(text_at(block, "text") or "")
    if kind == "thinking":
        return parts.reasoning(text_at(block, "thinking") or "")
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        form = "tool_call" if kind == "tool_use" else "server_tool_call"
        return parts.tool_call(text_at(block, "id"), text_at(block, "name"), look(block, "input"), form)
    if kind.endswith("tool_result"):
        form = "tool_call_response" if kind == "tool_result" else "server_tool_call_response"
        return parts.tool_answer(text_at(block, "tool_use_id"), _result(look(block, "content")), form)
    if kind in ("image", "document"):
        return _media(kind, look(block, "source"))
    return parts.other(block)


def _result(content: Any) -> Any:
    return [_part(block) for block in content] if isinstance(content, list) else content


def _media(kind: str, source: Any) -> Part:
    media_type = text_at(source, "media_type")
    if address := text_at(source, "url"):
        return parts.uri(address, media_type, kind)
    if file_id := text_at(source, "file_id"):
        return parts.file(file_id, kind)
    return parts.blob(media_type, len(text_at(source, "data") or ""))


class Events:
    """The events of one streamed message."""

    finished = False

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, Any] = {}
        self._pieces: dict[int, list[str]] = defaultdict(list)

    def add(self, event: Any) -> None:
        """Takes the next event."""
        kind, place = look(event, "type"), count_at(event, "index") or 0
        if kind == "message_start":
            self._whole = {name: look(event, "message", name) for name in ("id", "model")}
            self._count(look(event, "message", "usage"))
        elif kind == "content_block_start":
            self._blocks[place] = look(event, "content_block")
        elif kind == "content_block_delta":
            delta = look(event, "delta")
            found = (text_at(delta, name) for name in ("text", "partial_json", "thinking"))
            self._pieces[place].append(next((piece for piece in found if piece), ""))
        elif kind == "message_delta":
            self._whole["stop_reason"] = look(event, "delta", "stop_reason")
            self._count(look(event, "usage"))
        elif kind == "message_stop":
            self.finished = True

    def _count(self, usage: Any) -> None:
        """Counts of a later event stand for the whole message and replace earlier ones."""
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        self._usage.update({name: told for name in names if (told := count_at(usage, name)) is not None})
        if details := look(usage, "output_tokens_details"):
            self._usage["output_tokens_details"] = details

    def answer(self) -> dict[str, Any]:
        """Returns what came so far."""
        return {**self._whole, "usage": self._usage, "content": [self._block(place) for place in sorted(self._blocks)]}

    def _block(self, place: int) -> Any:
        block, told = self._blocks[place], "".join(self._pieces[place])
        kind = text_at(block, "type") or ""
        if kind in ("text", "thinking"):
            return {"type": kind, kind: (text_at(block, kind) or "") + told}
        if kind.endswith("tool_use") and told:
            return {"type": kind, "id": look(block, "id"), "name": look(block, "name"), "input": told}
        return block


MESSAGES = Operation(name="chat", asked=asked, answered=answered, gathering=Events)
