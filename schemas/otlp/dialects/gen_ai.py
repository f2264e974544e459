"""OpenTelemetry's GenAI conventions: 1.37 to 1.41 with the renames merged since, and everything up to 1.36."""

from schemas.otlp.dialects.table import Dialect
from schemas.span import SpanKind

CREATE_AGENT = "create_agent"
"""The operation of an agent span that is no activation: the agent is made, and called later."""

OPERATIONS: dict[str, SpanKind] = {
    "chat": "llm",
    "generate_content": "llm",
    "text_completion": "llm",
    "completion": "llm",
    "generate": "llm",
    "embeddings": "retriever",
    "retrieval": "retriever",
    "rerank": "retriever",
    "invoke_agent": "agent",
    CREATE_AGENT: "agent",
    "execute_tool": "tool",
    "invoke_workflow": "chain",
    "plan": "chain",
    "agent_step": "chain",
    "execute_task": "chain",
    "chain": "chain",
}

GEN_AI = Dialect(
    name="otel-genai",
    markers=(
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.system",
        "gen_ai.request.model",
        "gen_ai.agent.name",
        "gen_ai.tool.name",
    ),
    fields={
        "agent": ("gen_ai.agent.name",),
        "agent_id": ("gen_ai.agent.call.id", "gen_ai.agent.id"),
        "agent_version": ("gen_ai.agent.version",),
        "session_id": ("gen_ai.conversation.id",),
        "operation": ("gen_ai.operation.name",),
        "provider": ("gen_ai.provider.name",),
        "model": ("gen_ai.response.model",),
        "request_model": ("gen_ai.request.model",),
        "tool_name": ("gen_ai.tool.name",),
        "input": ("gen_ai.tool.call.arguments", "gen_ai.input.messages", "gen_ai.retrieval.query.text"),
        "output": ("gen_ai.tool.call.result", "gen_ai.output.messages", "gen_ai.retrieval.documents"),
        "input_tokens": ("gen_ai.usage.input_tokens",),
        "output_tokens": ("gen_ai.usage.output_tokens",),
        "cached_input_tokens": ("gen_ai.usage.cache_read.input_tokens",),
        "cache_write_input_tokens": (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
        ),
        "reasoning_output_tokens": ("gen_ai.usage.reasoning.output_tokens",),
        "cost_usd": ("gen_ai.usage.cost", "operation.cost"),
    },
    kinds={"gen_ai.operation.name": OPERATIONS},
    implied_kinds={
        "gen_ai.tool.name": "tool",
        "gen_ai.tool.call.id": "tool",
        "gen_ai.retrieval.documents": "retriever",
        "gen_ai.retrieval.query.text": "retriever",
        "gen_ai.embeddings.dimension.count": "retriever",
        "gen_ai.response.model": "llm",
        "gen_ai.request.model": "llm",
    },
    placeholders={  # openai-agents-v2 writes these on every span whose agent it does not know
        "gen_ai.agent.name": frozenset({"OpenAI Agent"}),
        "gen_ai.agent.id": frozenset({"agent"}),
    },
    content_events=("gen_ai.client.inference.operation.details",),
    client_scopes=("com.anthropic.sdk.python",),
)

GEN_AI_1_36 = Dialect(
    name="otel-genai",
    markers=("gen_ai.prompt", "gen_ai.completion"),
    fields={
        "provider": ("gen_ai.system",),
        "customer_id": ("gen_ai.user",),
        "input": ("gen_ai.prompt",),
        "output": ("gen_ai.completion",),
        "input_tokens": ("gen_ai.usage.prompt_tokens",),
        "output_tokens": ("gen_ai.usage.completion_tokens",),
        "cached_input_tokens": ("gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.details.cache_read_tokens"),
        "cache_write_input_tokens": ("gen_ai.usage.cache_creation_input_tokens",),
        "reasoning_output_tokens": ("gen_ai.usage.reasoning_tokens",),
    },
    placeholders={"gen_ai.system": frozenset({"langchain", "strands-agents"})},  # frameworks, not providers
    message_events={
        "gen_ai.system.message": ("input", "system"),
        "gen_ai.user.message": ("input", "user"),
        "gen_ai.assistant.message": ("input", "assistant"),
        "gen_ai.tool.message": ("input", "tool"),
        "gen_ai.choice": ("output", "assistant"),
    },
    content_events=("gen_ai.content.prompt", "gen_ai.content.completion"),
)
