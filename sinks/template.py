"""A destination's own words: templates in the language of Jinja, in an engine that reaches nothing and stops in time.

MiniJinja has no access to Python: what a template can name is what is given here. Its fuel bounds time and output alike.
"""

from dataclasses import replace
from typing import Any

import minijinja
import orjson

from schemas.documents.destination import Template
from sinks.message import Message, clean, utc

FUEL = 50_000
"""Steps of the engine; building a text costs in proportion to its length."""
SUBJECT_CHARS = 300
TEXT_CHARS = 3000


class Failed(Exception):
    """A template that cannot be rendered; the text names the part and the line."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.reason = reason


def applied(message: Message, own: Template | None) -> tuple[Message, str]:
    """Returns the message in a destination's words, and nothing; or the standard one, and why the template failed."""
    if own is None:
        return message, ""
    try:
        return rendered(message, own), ""
    except Failed as failure:
        return message, f"the template failed, so the standard message was sent: {failure}"


def rendered(message: Message, own: Template) -> Message:
    """Returns the message in a destination's words.

    Raises:
        Failed: a part is no template, names what there is not, or takes too long.

    """
    context = _context(message)
    subject = "" if own.subject is None else clean(_render("subject", own.subject, context), SUBJECT_CHARS)
    text = "" if own.text is None else clean(_render("text", own.text, context), TEXT_CHARS, lines=True).strip()
    return replace(message, headline=subject or message.headline, topic=subject or message.topic, text=text)


def _context(message: Message) -> dict[str, Any]:
    return {
        "project": message.project,
        "rule": message.rule,
        "group": orjson.loads(message.group_key),
        "state": message.state,
        "kind": message.kind,
        "severity": message.severity,
        "headline": message.headline,
        "cause": message.cause,
        "facts": dict(message.facts),
        "samples": [{"subject": one.subject, "reason": one.reason, "url": one.url} for one in message.samples],
        "url": message.url,
        "alert_id": message.alert_id,
        "change": message.change,
        "recipient": message.recipient,
        "at": utc(message.at_ms),
    }


def _render(part: str, source: str, context: dict[str, Any]) -> str:
    engine = minijinja.Environment(undefined_behavior="strict")
    engine.fuel = FUEL
    try:
        return str(engine.render_str(source, part, **context))
    except minijinja.TemplateError as error:
        reason = str(error).partition("\n")[0].partition(" (in ")[0]
        raise Failed(part, f"line {error.line or 1}: {clean(reason, 200)}") from None
