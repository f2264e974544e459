"""What a dialect is: a table that says where an instrumentation keeps each of our fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas.span import SpanKind

Source = Literal[
    "agent",
    "agent_entry",
    "agent_id",
    "agent_instance",
    "agent_version",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "cost_usd",
    "customer_id",
    "entity",
    "environment",
    "error_message",
    "error_type",
    "input",
    "input_messages",
    "input_tokens",
    "model",
    "operation",
    "output",
    "output_messages",
    "output_tokens",
    "parent_agent_id",
    "pending_parent",
    "provider",
    "reasoning_output_tokens",
    "request_model",
    "revision",
    "service",
    "session_id",
    "tags",
    "tool_name",
    "uncached_input_tokens",
    "visible_output_tokens",
]
"""The fields of a span that attributes fill, and some that only help to find one:

`entity` names the agent or the tool that a span of kind agent or tool is, if nothing else does, `input_messages` and
`output_messages` are the first of many indexed attributes that together are a list of messages (`llm.input_messages.0.message.role`;
a span of kind llm takes them before the dialect's `input` and `output`, any other span after every such source), `request_model`
stands in for a missing `model`, `uncached_input_tokens` plus the cache's two counts for missing `input_tokens`,
`visible_output_tokens` plus the reasoning for missing `output_tokens`, `error_type` makes an unset status an error and
`error_message` tells it, `revision` numbers the updates of a span, and `pending_parent` is the true
parent of a placeholder that names the span it stands for as its parent.
"""


@dataclass(frozen=True)
class Dialect:
    """One instrumentation's names. Add a dialect by adding a module with such a table and listing it in `dialects/__init__.py`."""

    name: str
    """what `Span.dialect` shows"""
    markers: tuple[str, ...] = ()
    """attributes any of which tells the dialect"""
    scopes: tuple[str, ...] = ()
    """instrumentation scopes that tell the dialect"""
    fields: Mapping[Source, tuple[str, ...]] = field(default_factory=dict)
    """for each field the attributes that hold it, the best first

    `metadata#/user/id` is what a JSON pointer finds in the JSON text of an attribute; not for input and output, which are whole texts.
    `name#` is a text that may stand in JSON's quotes.
    """
    kinds: Mapping[str, Mapping[str, SpanKind]] = field(default_factory=dict)
    """attribute -> lower-case value -> kind; a value that is not listed says nothing"""
    implied_kinds: Mapping[str, SpanKind] = field(default_factory=dict)
    """attributes whose presence tells the kind, when nothing says it outright"""
    placeholders: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """attribute -> values that the instrumentation fills in when it does not know"""
    message_events: Mapping[str, tuple[Literal["input", "output"], str]] = field(default_factory=dict)
    """name of a span event that is one message -> the field it belongs to, and its role"""
    content_events: tuple[str, ...] = ()
    """names of span events whose attributes are read after the span's own"""
    message_lists: tuple[str, ...] = ()
    """attributes that hold a JSON array of messages, each named by its `event.name`: the assistant's at its end are the output"""
    named_by_span: bool = False
    """a span of kind agent or tool that names no agent or tool is named by its own name"""
    unnamed_scopes: tuple[str, ...] = ()
    """instrumentation scopes of the dialect in which that is not so"""
    client_scopes: tuple[str, ...] = ()
    """scopes of providers' own clients: they report a call that an instrumentation may report, too"""
    exception_is_error: bool = False
    """an exception event makes an unset status an error"""
