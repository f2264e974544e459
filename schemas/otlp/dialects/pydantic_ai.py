"""Pydantic AI, formats 1 to 6: the GenAI conventions, and what it says in words of its own."""

from schemas.otlp.dialects.table import Dialect

PYDANTIC_AI = Dialect(
    name="pydantic-ai",
    markers=("pydantic_ai.all_messages",),
    scopes=("pydantic-ai",),
    fields={
        "agent": ("agent_name",),
        "customer_id": ("metadata#/user_id",),
        "request_model": ("model_name",),
        "input": ("tool_arguments", "pydantic_ai.all_messages", "all_messages"),
        "output": ("tool_response", "final_result"),
        "cache_write_input_tokens": ("gen_ai.usage.details.cache_write_tokens",),
        "reasoning_output_tokens": ("gen_ai.usage.details.reasoning_tokens",),
    },
    message_lists=("all_messages_events",),
)
