"""Vercel's AI SDK: its own `ai.*` until version 6 and on request later, the GenAI conventions with a few `ai.*` since 7."""

from schemas.otlp.dialects.table import Dialect
from schemas.span import SpanKind

_OPERATIONS: dict[str, SpanKind] = {
    "ai.generatetext.dogenerate": "llm",
    "ai.streamtext.dostream": "llm",
    "ai.generateobject.dogenerate": "llm",
    "ai.streamobject.dostream": "llm",
    "ai.embed.doembed": "retriever",
    "ai.embedmany.doembed": "retriever",
    "ai.rerank.dorerank": "retriever",
    "ai.toolcall": "tool",
    "ai.generatetext": "chain",
    "ai.streamtext": "chain",
    "ai.generateobject": "chain",
    "ai.streamobject": "chain",
    "ai.embed": "chain",
    "ai.embedmany": "chain",
    "ai.rerank": "chain",
}

VERCEL_LEGACY = Dialect(
    name="vercel-legacy",
    markers=("ai.operationId",),
    scopes=("ai",),
    fields={
        "agent": ("ai.telemetry.functionId",),
        "session_id": ("ai.telemetry.metadata.sessionId",),
        "customer_id": ("ai.telemetry.metadata.userId",),
        "tags": ("ai.telemetry.metadata.tags",),
        "operation": ("ai.operationId",),
        "provider": ("ai.model.provider", "aisdk.model.provider"),
        "model": ("ai.response.model",),
        "request_model": ("ai.model.id",),
        "tool_name": ("ai.toolCall.name",),
        "input": ("ai.toolCall.args", "ai.prompt.messages", "ai.prompt", "ai.value", "ai.values"),
        "output": ("ai.toolCall.result", "ai.response.text", "ai.response.object", "ai.response.toolCalls"),
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "cached_input_tokens": ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens"),
        "cache_write_input_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_output_tokens": ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
    },
    kinds={"ai.operationId": _OPERATIONS},
)

VERCEL = Dialect(
    name="vercel-v7",
    scopes=("gen_ai",),
    fields={  # what the program put into its runtime context, by both kinds of spans
        "session_id": ("ai.settings.context.sessionId",),
        "customer_id": ("ai.settings.context.userId",),
    },
)
