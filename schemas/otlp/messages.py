"""Message lists that were spread over indexed attributes, in the form of OpenTelemetry's GenAI conventions 1.41.

OpenInference writes `llm.input_messages.0.message.role`, OpenLLMetry up to 0.4 `gen_ai.prompt.0.role`; what comes after the
number is a path into the message, and names of both are read here.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

_DIGITS = 9
"""More digits than this are no index of a list."""


def prefix_of(attribute: str) -> str:
    """Returns what comes before the number in the name of a list's first attribute.

    >>> prefix_of("llm.input_messages.0.message.role")
    'llm.input_messages.'
    """
    return attribute[: attribute.index(".0.") + 1]


def gathered(attrs: dict[str, str], prefix: str) -> str:
    """Returns the messages whose parts are the attributes that begin with `prefix`, as JSON, and takes them out of `attrs`.

    >>> gathered({"p.0.role": "user", "p.0.content": "Hi"}, "p.")
    '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]'
    """
    tree: dict[str, Any] = {}
    for key in [key for key in attrs if key.startswith(prefix)]:
        path = key[len(prefix) :].split(".")
        if _index(path[0]) is not None and len(path) > 1:
            _put(tree, path, attrs.pop(key))
    return orjson.dumps([_message(node) for node in _numbered(tree)]).decode()


def _put(tree: dict[str, Any], path: list[str], text: str) -> None:
    """A name that is a text and a branch at once stays a text."""
    node = tree
    for step in path[:-1]:
        node = node.setdefault(step, {})
        if not isinstance(node, dict):
            return
    node[path[-1]] = text


def _index(step: str) -> int | None:
    return int(step) if step.isdecimal() and len(step) <= _DIGITS else None


def _numbered(tree: Any) -> list[dict[str, Any]]:
    """The branches of a list in the order of their numbers, however far apart these are."""
    if not isinstance(tree, dict):
        return []
    found = [(index, node) for step, node in tree.items() if (index := _index(step)) is not None]
    return [node for _, node in sorted(found, key=lambda pair: pair[0]) if isinstance(node, dict)]


def _message(node: dict[str, Any]) -> dict[str, Any]:
    told = node.get("message")
    said = told if isinstance(told, dict) else node
    message: dict[str, Any] = {"role": _text(said, "role")}
    if name := _text(said, "name"):
        message["name"] = name
    message["parts"] = list(_parts(said, message["role"]))
    if reason := _text(said, "finish_reason"):
        message["finish_reason"] = reason
    return message


def _parts(said: dict[str, Any], role: str) -> Iterator[dict[str, Any]]:
    """Some instrumentations say a text as `content` and in `contents`, and a call in `contents` and in `tool_calls`."""
    contents = list(_contents(_numbered(said.get("contents"))))
    content = _text(said, "content")
    if role == "tool" and content:
        yield _without_gaps({"type": "tool_call_response", "id": _text(said, "tool_call_id"), "response": content})
    elif content and not any(part["type"] == "text" for part in contents):
        yield {"type": "text", "content": content}
    yield from contents
    known = [part for part in contents if part["type"] == "tool_call"]
    yield from (call for call in map(_call, _numbered(said.get("tool_calls"))) if call not in known)


def _contents(nodes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        if "tool_call" in node:
            yield _call(node)
            continue
        said = node.get("message_content", node)
        said = said if isinstance(said, dict) else {}
        kind = _text(said, "type") or "text"
        text = _text(said, "text") or _text(said, "content")
        if text:
            yield {"type": kind, "content": text}
        else:
            yield {**{key: value for key, value in said.items() if key != "type"}, "type": kind}


def _call(node: dict[str, Any]) -> dict[str, Any]:
    told = node.get("tool_call")
    said = told if isinstance(told, dict) else node
    function = said.get("function")
    function = function if isinstance(function, dict) else said
    arguments = _json(_text(function, "arguments"))
    return _without_gaps(
        {"type": "tool_call", "id": _text(said, "id"), "name": _text(function, "name"), "arguments": arguments}
    )


def _without_gaps(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value != ""}


def _text(node: dict[str, Any], name: str) -> str:
    found = node.get(name)
    return found if isinstance(found, str) else ""


def _json(text: str) -> Any:
    try:
        return orjson.loads(text) if text else ""
    except orjson.JSONDecodeError:
        return text
