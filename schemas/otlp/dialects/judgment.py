"""judgeval, every generation: `judgment.*`."""

from schemas.otlp.dialects.table import Dialect

JUDGMENT = Dialect(
    name="judgeval",
    markers=("judgment.update_id", "judgment.span_kind", "judgment.input", "judgment.output", "judgment.agent_id"),
    scopes=("judgeval", "opentelemetry.instrumentation.judgeval"),
    fields={
        "agent": ("judgment.agent_class_name",),
        "agent_instance": ("judgment.agent_instance_name",),
        "agent_id": ("judgment.agent_id",),
        "parent_agent_id": ("judgment.parent_agent_id",),
        "agent_entry": ("judgment.is_agent_entry_point",),
        "session_id": ("judgment.session_id",),
        "customer_id": ("judgment.customer_id", "judgment.customer_user_id"),
        "tags": ("judgment.tags",),
        "input": ("judgment.input",),
        "output": ("judgment.output",),
        "model": ("judgment.llm.model",),
        "provider": ("judgment.llm.provider",),
        "uncached_input_tokens": ("judgment.usage.non_cached_input_tokens",),
        "output_tokens": ("judgment.usage.output_tokens",),
        "cached_input_tokens": ("judgment.usage.cache_read_input_tokens",),
        "cache_write_input_tokens": ("judgment.usage.cache_creation_input_tokens",),
        "reasoning_output_tokens": (
            "judgment.usage.metadata#/completion_tokens_details/reasoning_tokens",
            "judgment.usage.metadata#/output_tokens_details/reasoning_tokens",
        ),
        "cost_usd": ("judgment.usage.total_cost_usd", "gen_ai.usage.total_cost_usd"),
        "revision": ("judgment.update_id",),
    },
    kinds={  # "span" is what judgeval says when its user said nothing
        "judgment.span_kind": {
            "llm": "llm",
            "tool": "tool",
            "agent": "agent",
            "function": "chain",
            "chain": "chain",
            "workflow": "chain",
            "generator": "chain",
            "retriever": "retriever",
            "retrieval": "retriever",
            "embedding": "retriever",
        }
    },
    named_by_span=True,  # judgeval has no other name for a tool, and 1.x none for an agent
    exception_is_error=True,  # 0.x leaves the status of a failed LLM call unset
)
