"""The dialects in order of precedence, and how their tables become one."""

from schemas.otlp.dialects.gen_ai import GEN_AI, GEN_AI_1_36
from schemas.otlp.dialects.judgment import JUDGMENT
from schemas.otlp.dialects.langfuse import LANGFUSE
from schemas.otlp.dialects.langsmith import LANGSMITH
from schemas.otlp.dialects.logfire import LOGFIRE, LOGFIRE_PLAIN
from schemas.otlp.dialects.openinference import OPENINFERENCE
from schemas.otlp.dialects.openllmetry import OPENLLMETRY
from schemas.otlp.dialects.otel import OTEL
from schemas.otlp.dialects.pydantic_ai import PYDANTIC_AI
from schemas.otlp.dialects.table import Dialect, Source
from schemas.otlp.dialects.vedette import VEDETTE
from schemas.otlp.dialects.vercel import VERCEL, VERCEL_LEGACY

DIALECTS: tuple[Dialect, ...] = (
    VEDETTE,
    JUDGMENT,
    LANGFUSE,
    LANGSMITH,
    OPENINFERENCE,
    OPENLLMETRY,
    VERCEL_LEGACY,
    VERCEL,
    PYDANTIC_AI,
    LOGFIRE,
    GEN_AI,
    GEN_AI_1_36,
    LOGFIRE_PLAIN,
    OTEL,
)
"""The first that knows a span names its dialect, and its attributes come first for every field but those below."""

STANDARD_FIRST: frozenset[Source] = frozenset(
    {
        "agent",
        "cached_input_tokens",
        "cache_write_input_tokens",
        "input_tokens",
        "model",
        "operation",
        "output_tokens",
        "provider",
        "reasoning_output_tokens",
        "request_model",
        "session_id",
        "tool_name",
    }
)
"""For these fields the standard's own names come before a vendor's: both mean the same, and the standard says how to count."""

PROVIDERS = {
    "amazon-bedrock": "aws.bedrock",
    "anthropic.messages": "anthropic",
    "az.ai.openai": "azure.ai.openai",
    "azure.chat": "azure.ai.openai",
    "azure.responses": "azure.ai.openai",
    "azure-openai.chat": "azure.ai.openai",
    "azure-openai.responses": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "cohere.chat": "cohere",
    "deepseek.chat": "deepseek",
    "google.vertex.chat": "gcp.vertex_ai",
    "groq.chat": "groq",
    "mistral.chat": "mistral_ai",
    "openai.chat": "openai",
    "openai.completion": "openai",
    "openai.embedding": "openai",
    "openai.responses": "openai",
    "vertex.anthropic.messages": "gcp.vertex_ai",
    "xai.chat": "x_ai",
    "mistralai": "mistral_ai",
    "google": "gcp.gen_ai",
    "aws": "aws.bedrock",
    "watsonx": "ibm.watsonx.ai",
    "vertexai": "gcp.vertex_ai",
    "google.generative-ai": "gcp.gemini",
}
"""Other spellings of providers, in lower case."""

OPERATION_NAMES = {"completion": "text_completion"}
"""Other spellings of operations."""
