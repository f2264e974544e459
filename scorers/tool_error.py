"""`type: tool-error`"""

from collections.abc import Iterator
from typing import Any

from pydantic.dataclasses import dataclass

from schemas.subject import Subject
from scorers.said import as_json
from scorers.scorer import SETTINGS, Verdict, lacks

_FLAGS = ("isError", "is_error")
"""Of MCP and of Anthropic's `tool_result`."""
_TYPES = ("error", "tool-error", "tool_error", "error-text", "error-json", "execution-denied")
"""Of the AI SDK's results."""
_WRAPPERS = ("result", "output", "content", "kwargs")
_OPENINGS = (
    "Error:",
    "Traceback (most recent call last)",
    "An error occurred while running the tool",
    "Error executing tool",
    "Error calling tool",
    "Error invoking tool",
    "Tool execution failed",
)
"""How agent frameworks begin the text that a failed tool gives to the model."""
_LONGEST = 300


@dataclass(frozen=True, config=SETTINGS)
class ToolError:
    """Reads a tool's span; 1 when the tool did not fail, `measured` is the number of signs that it did.

    A tool fails when its span has the status error or an exception, or its result has an error flag. On an example only
    the result is read.
    """

    field: str = "output"
    result: bool = True

    async def judge(self, subject: Subject) -> Verdict:
        """Looks for the signs of a failure and names the first."""
        if subject.kind == "span" and subject.span_kind != "tool":
            wrong = subject.span_kind or "other"
            return Verdict(skipped=True, reason=f"the span is of kind {wrong}; use `online.filter: {{kind: tool}}`")
        text = subject.text(self.field)
        if subject.kind != "span" and text is None:
            return lacks(subject, self.field)
        signs = [*_of_the_span(subject), *(_of_the_result(text) if self.result and text else ())]
        name = subject.span_name or "the tool"
        if not signs:
            return Verdict(value=1.0, measured=0, reason=f"{name} told no error")
        label = subject.attributes.get("error.type", "") or signs[0][0]
        reason = next((message for _, message in signs if message), "it says no more")
        return Verdict(value=0.0, measured=len(signs), label=label, reason=f"{name} failed: {reason[:_LONGEST]}")


def _of_the_span(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.numbers.get("error"):
        yield "status", subject.error_message or subject.attributes.get("error.type", "")
    elif subject.error_message:
        yield "exception", subject.error_message


def _of_the_result(text: str) -> Iterator[tuple[str, str]]:
    value = as_json(text)
    if isinstance(value, str):  # quoted once more
        text, value = value, as_json(value)
    message = _error(value) if value is not None else text if text.lstrip().startswith(_OPENINGS) else None
    if message is not None:
        yield "result", message


def _error(value: Any, depth: int = 0) -> str | None:
    """What a result with an error flag says, or None when it has none."""
    if isinstance(value, list):
        items = value[:20]
    elif isinstance(value, dict):
        if _flagged(value):
            return _message(value)
        items = [value[key] for key in _WRAPPERS if key in value]
    else:
        return value if isinstance(value, str) and depth and value.startswith(_OPENINGS) else None
    found = (_error(item, depth + 1) for item in items) if depth < 4 else ()
    return next((message for message in found if message is not None), None)


def _flagged(value: dict[str, Any]) -> bool:
    return (
        any(value.get(key) in (True, "true", "True") for key in _FLAGS)
        or value.get("type") in _TYPES
        or value.get("status") == "error"
        or value.get("success") is False
        or value.get("ok") is False
        or any(value.get(key) not in (None, False, "", 0, [], {}) for key in ("error", "errors"))
    )


def _message(value: dict[str, Any]) -> str:
    for key in ("error", "errors", "message", "content", "value", "text"):
        told = value.get(key)
        if isinstance(told, list):
            told = told[0] if told else None
        if isinstance(told, dict):
            told = next((told[one] for one in ("message", "text", "detail", "code") if told.get(one)), "")
        if isinstance(told, str) and told:
            return told
    return ""
