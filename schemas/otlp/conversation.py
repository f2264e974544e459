"""The two sides of a conversation that one attribute holds: a JSON array of messages, each named by its `event.name`."""

from typing import Any

import orjson

from schemas.otlp.raw import EVENT_NAME, Value

_SAID = frozenset(("gen_ai.assistant.message", "gen_ai.choice"))


def asked(value: Value) -> str | None:
    """Returns the messages before the assistant's last ones as JSON, or None without any.

    >>> asked('[{"event.name":"gen_ai.user.message","role":"user"},{"event.name":"gen_ai.choice","index":0}]')
    '[{"role":"user"}]'
    """
    messages = _messages(value)
    return _json(messages[: _answer(messages)])


def answered(value: Value) -> str | None:
    """Returns the assistant's messages that end the conversation as JSON, or None without any."""
    messages = _messages(value)
    return _json(messages[_answer(messages) :])


def _answer(messages: list[dict[str, Any]]) -> int:
    place = len(messages)
    while place and messages[place - 1].get(EVENT_NAME) in _SAID:
        place -= 1
    return place


def _json(messages: list[dict[str, Any]]) -> str | None:
    shown = [{key: told for key, told in message.items() if key != EVENT_NAME} for message in messages]
    return orjson.dumps(shown).decode() if shown else None


def _messages(value: Value) -> list[dict[str, Any]]:
    try:
        found: Any = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        return []
    return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []
