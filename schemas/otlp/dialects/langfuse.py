"""Langfuse's SDKs: `langfuse.*`, with usage, cost and LangChain's metadata as JSON."""

from schemas.otlp.dialects.table import Dialect

_USAGE = "langfuse.observation.usage_details"
_METADATA = "langfuse.observation.metadata"

LANGFUSE = Dialect(
    name="langfuse",
    markers=(
        "langfuse.observation.type",
        "langfuse.observation.input",
        "langfuse.trace.name",
        "langfuse.environment",
    ),
    scopes=("langfuse-sdk",),
    fields={
        "agent": (f"{_METADATA}.lc_agent_name#",),
        "session_id": ("langfuse.session.id",),
        "customer_id": ("langfuse.user.id",),
        "environment": ("langfuse.environment",),
        "tags": ("langfuse.trace.tags",),
        "request_model": ("langfuse.observation.model.name",),
        "provider": (f"{_METADATA}.ls_provider#",),
        "input": ("langfuse.observation.input", "langfuse.trace.input"),
        "output": ("langfuse.observation.output", "langfuse.trace.output"),
        "input_tokens": (f"{_USAGE}#/prompt_tokens", f"{_USAGE}#/input_tokens"),
        "output_tokens": (f"{_USAGE}#/completion_tokens", f"{_USAGE}#/output_tokens"),
        # Langfuse's own names, and LangChain's through it: cached tokens and reasoning are not in `input` and `output`
        "uncached_input_tokens": (f"{_USAGE}#/input",),
        "visible_output_tokens": (f"{_USAGE}#/output",),
        "cached_input_tokens": (
            f"{_USAGE}#/prompt_tokens_details/cached_tokens",
            f"{_USAGE}#/input_tokens_details/cached_tokens",
            f"{_USAGE}#/input_cache_read",
            f"{_USAGE}#/input_cached_tokens",
            f"{_USAGE}#/cache_read_input_tokens",
        ),
        "cache_write_input_tokens": (
            f"{_USAGE}#/input_cache_creation",
            f"{_USAGE}#/cache_creation_input_tokens",
        ),
        "reasoning_output_tokens": (
            f"{_USAGE}#/completion_tokens_details/reasoning_tokens",
            f"{_USAGE}#/output_tokens_details/reasoning_tokens",
            f"{_USAGE}#/output_reasoning",
            f"{_USAGE}#/output_reasoning_tokens",
        ),
        "cost_usd": ("langfuse.observation.cost_details#/total",),
        "error_type": ("langfuse.observation.level",),
        "error_message": ("langfuse.observation.status_message",),
    },
    kinds={
        "langfuse.observation.type": {
            "generation": "llm",
            "agent": "agent",
            "tool": "tool",
            "chain": "chain",
            "retriever": "retriever",
            "embedding": "retriever",
            "evaluator": "other",
            "guardrail": "other",
            "event": "other",
            "span": "other",
        }
    },
    placeholders={"langfuse.observation.level": frozenset({"DEBUG", "DEFAULT", "WARNING"})},  # only ERROR is one
    named_by_span=True,
)
