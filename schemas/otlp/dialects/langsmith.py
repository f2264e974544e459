"""LangSmith's OpenTelemetry export: how LangChain and LangGraph report through judgeval 0.x."""

from schemas.otlp.dialects.table import Dialect

LANGSMITH = Dialect(
    name="langsmith",
    markers=("langsmith.span.kind", "langsmith.trace.name"),
    scopes=("langsmith",),
    fields={
        "agent": ("langsmith.metadata.lc_agent_name",),
        "session_id": (
            "langsmith.metadata.session_id",
            "langsmith.metadata.conversation_id",
            "langsmith.metadata.thread_id",
        ),
        "customer_id": ("langsmith.metadata.customer_id", "langsmith.metadata.user_id"),
        "tags": ("langsmith.span.tags",),
        "request_model": ("langsmith.metadata.ls_model_name",),
        "provider": ("langsmith.metadata.ls_provider",),
        "cached_input_tokens": ("langsmith.metadata.usage_metadata#/input_token_details/cache_read",),
        "cache_write_input_tokens": ("langsmith.metadata.usage_metadata#/input_token_details/cache_creation",),
        "reasoning_output_tokens": ("langsmith.metadata.usage_metadata#/output_token_details/reasoning",),
    },
    kinds={
        "langsmith.span.kind": {
            "llm": "llm",
            "tool": "tool",
            "chain": "chain",
            "retriever": "retriever",
            "embedding": "retriever",
            "prompt": "chain",
            "parser": "chain",
        }
    },
)
