"""Messages and their parts in the form of OpenTelemetry's GenAI conventions 1.41."""

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from vedette.wrap.look import look, plain, text_at

Part: TypeAlias = dict[str, Any]


def message(role: Any, parts: Iterable[Part], finish_reason: str | None = None) -> dict[str, Any]:
    """Returns one message of a conversation, an answer with the reason why it ended."""
    made: dict[str, Any] = {"role": str(role), "parts": list(parts)}
    return made if finish_reason is None else {**made, "finish_reason": finish_reason}


def text(content: str) -> Part:
    """Returns words."""
    return {"type": "text", "content": content}


def reasoning(content: str) -> Part:
    """Returns what the model thought before it answered."""
    return {"type": "reasoning", "content": content}


def refusal(content: str) -> Part:
    """Returns the words by which the model refused."""
    return {"type": "refusal", "content": content}


def tool_call(call_id: Any, name: Any, arguments: Any, kind: str = "tool_call") -> Part:
    """Returns a tool's call; arguments that are JSON text are read."""
    return _known({"type": kind, "id": call_id, "name": name, "arguments": _read(arguments)})


def tool_answer(call_id: Any, response: Any, kind: str = "tool_call_response") -> Part:
    """Returns what a tool answered."""
    return _known({"type": kind, "id": call_id, "response": plain(response)})


def blob(media_type: str | None, size: int) -> Part:
    """Returns media by its size in characters of base64 or bytes: images and sounds themselves stay out of spans."""
    return _known({"type": "blob", "modality": _modality(media_type), "mime_type": media_type, "size": size})


def uri(address: str, media_type: str | None = None, modality: str = "") -> Part:
    """Returns media that the provider fetches itself, or by its size when the address holds it."""
    if address.startswith("data:"):
        return blob(address[5:].partition(";")[0] or None, len(address))
    made = {"type": "uri", "modality": modality or _modality(media_type), "mime_type": media_type, "uri": address}
    return _known(made)


def file(file_id: str, modality: str = "document") -> Part:
    """Returns media that was uploaded before."""
    return {"type": "file", "modality": modality, "file_id": file_id}


def other(value: Any) -> Part:
    """Returns a part of a kind that has no form of its own here, as it came."""
    made = plain(value)
    return made if isinstance(made, dict) else text(str(made))


def definition(tool: Any) -> Any:
    """Returns a tool that the model may call: name, description and parameters, wherever the provider wants them."""
    inner = look(tool, "function") or tool
    schema = look(inner, "parameters") or look(inner, "input_schema")
    if text_at(inner, "name") is None:
        return plain(tool)
    made = {"type": text_at(tool, "type") or "function", "name": look(inner, "name")}
    return _known({**made, "description": text_at(inner, "description"), "parameters": plain(schema)})


def _known(part: Part) -> Part:
    return {key: value for key, value in part.items() if value is not None}


def _read(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return plain(arguments)
    try:
        return json.loads(arguments)
    except ValueError:  # a stream was cut in the middle of them
        return arguments or None


def _modality(media_type: str | None) -> str:
    kind = (media_type or "").partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "document"
