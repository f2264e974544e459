"""Our own SDK's names. They win over everybody else's on the same span.

| attribute | value |
|---|---|
| `vedette.span_kind` | llm, tool, agent, retriever, chain or other |
| `vedette.agent`, `vedette.agent_version` | the agent's stable name (its class) and version |
| `vedette.agent_instance` | the name of this one object, given by `identifier=` |
| `vedette.agent_id`, `vedette.parent_agent_id` | ids of this activation of the agent, and of the activation that called it |
| `vedette.agent_entry` | bool: true on the span by which the activation began |
| `vedette.session_id`, `vedette.customer_id`, `vedette.environment` | text |
| `vedette.tags` | array of texts |
| `vedette.input`, `vedette.output` | text, or JSON text |
| `vedette.model`, `vedette.provider`, `vedette.tool_name` | text |
| `vedette.usage.input_tokens`, `.output_tokens` | ints; input includes cached tokens, output includes reasoning |
| `vedette.usage.cached_input_tokens`, `.cache_write_input_tokens`, `.reasoning_output_tokens` | ints, parts of the two above |
| `vedette.usage.cost_usd` | double |
| `vedette.update_id` | int: which update of the span this is; an update whose end is 0 or its start is partial |
"""

from schemas.otlp.dialects.table import Dialect

VEDETTE = Dialect(
    name="vedette",
    markers=("vedette.span_kind", "vedette.update_id", "vedette.agent", "vedette.input", "vedette.output"),
    scopes=("vedette",),
    fields={
        "agent": ("vedette.agent",),
        "agent_instance": ("vedette.agent_instance",),
        "agent_id": ("vedette.agent_id",),
        "parent_agent_id": ("vedette.parent_agent_id",),
        "agent_entry": ("vedette.agent_entry",),
        "agent_version": ("vedette.agent_version",),
        "session_id": ("vedette.session_id",),
        "customer_id": ("vedette.customer_id",),
        "environment": ("vedette.environment",),
        "tags": ("vedette.tags",),
        "input": ("vedette.input",),
        "output": ("vedette.output",),
        "model": ("vedette.model",),
        "provider": ("vedette.provider",),
        "tool_name": ("vedette.tool_name",),
        "input_tokens": ("vedette.usage.input_tokens",),
        "output_tokens": ("vedette.usage.output_tokens",),
        "cached_input_tokens": ("vedette.usage.cached_input_tokens",),
        "cache_write_input_tokens": ("vedette.usage.cache_write_input_tokens",),
        "reasoning_output_tokens": ("vedette.usage.reasoning_output_tokens",),
        "cost_usd": ("vedette.usage.cost_usd",),
        "revision": ("vedette.update_id",),
    },
    kinds={
        "vedette.span_kind": {
            "llm": "llm",
            "tool": "tool",
            "agent": "agent",
            "retriever": "retriever",
            "chain": "chain",
            "function": "chain",
            "other": "other",
        }
    },
    named_by_span=True,
)
