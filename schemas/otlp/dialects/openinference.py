"""OpenInference, the conventions of Arize Phoenix and its instrumentations: `openinference.span.kind`, `llm.*`, `input.value`."""

from schemas.otlp.dialects.table import Dialect

OPENINFERENCE = Dialect(
    name="openinference",
    markers=("openinference.span.kind",),
    fields={
        "agent": ("agent.name", "metadata#/lc_agent_name"),
        "agent_id": ("graph.node.id",),
        "parent_agent_id": ("graph.node.parent_id",),
        "provider": ("llm.provider", "llm.system"),
        "model": (
            "llm.response.model_name",
            "llm.response.model",
            "llm.model_name",
            "embedding.model_name",
            "reranker.model_name",
        ),
        "request_model": ("llm.request.model_name", "llm.invocation_parameters#/model"),
        "tool_name": ("tool.name",),
        "input_messages": ("llm.input_messages.0.message.role",),
        "output_messages": ("llm.output_messages.0.message.role",),
        "input": ("input.value",),
        "output": ("output.value",),
        "input_tokens": ("llm.token_count.prompt",),
        "output_tokens": ("llm.token_count.completion",),
        "cached_input_tokens": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_write_input_tokens": ("llm.token_count.prompt_details.cache_write",),
        "reasoning_output_tokens": ("llm.token_count.completion_details.reasoning",),
        "cost_usd": ("llm.cost.total",),
    },
    kinds={
        "openinference.span.kind": {
            "llm": "llm",
            "agent": "agent",
            "tool": "tool",
            "chain": "chain",
            "retriever": "retriever",
            "embedding": "retriever",
            "reranker": "retriever",
            "prompt": "chain",
            "guardrail": "other",
            "evaluator": "other",
        }
    },
    named_by_span=True,  # only the instrumentations of agent frameworks write agent.name
    unnamed_scopes=(
        "openinference.instrumentation.openai_agents",
    ),  # its root is an AGENT that is named as the workflow
)
