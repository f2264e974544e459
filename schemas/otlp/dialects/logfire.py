"""Logfire: its placeholders for spans that have not ended, its own few names, and the OpenAI Agents SDK through it."""

from schemas.otlp.dialects.table import Dialect

_USAGE = "gen_ai.usage.raw"

LOGFIRE = Dialect(
    name="logfire",
    markers=("logfire.span_type", "logfire.msg"),
    fields={
        "pending_parent": ("logfire.pending_parent_id",),
        "tags": ("logfire.tags",),
        "cached_input_tokens": (
            f"{_USAGE}#/prompt_tokens_details/cached_tokens",
            f"{_USAGE}#/input_tokens_details/cached_tokens",
            f"{_USAGE}#/cache_read_input_tokens",
        ),
        "cache_write_input_tokens": (f"{_USAGE}#/cache_creation_input_tokens",),
        "reasoning_output_tokens": (
            f"{_USAGE}#/completion_tokens_details/reasoning_tokens",
            f"{_USAGE}#/output_tokens_details/reasoning_tokens",
        ),
    },
    kinds={
        "logfire.msg_template": {
            "function: {name}": "tool",
            "agent run: {name!r}": "agent",
            "openai agents trace: {name}": "chain",
        },
        "sdk_span_type": {"turn": "chain", "task": "chain"},
    },
)

LOGFIRE_PLAIN = Dialect(
    name="logfire",
    fields={
        "entity": ("name",),
        "session_id": ("session_id", "group_id"),
        "customer_id": ("user_id",),
        "input": ("input",),
        "output": ("output",),
    },
    placeholders={"session_id": frozenset({"[Scrubbed due to 'session']"})},
    message_lists=("events",),
)
"""Names so plain that everybody else's come first."""
