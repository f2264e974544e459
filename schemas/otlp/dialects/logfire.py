"""Logfire: its placeholders for spans that have not ended, and its own few names."""

from schemas.otlp.dialects.table import Dialect

LOGFIRE = Dialect(
    name="logfire",
    markers=("logfire.span_type", "logfire.msg"),
    fields={
        "pending_parent": ("logfire.pending_parent_id",),
        "tags": ("logfire.tags",),
    },
)
