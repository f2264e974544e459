"""The dialects in order of precedence, and how their tables become one."""

from schemas.otlp.dialects.gen_ai import GEN_AI, GEN_AI_1_36
from schemas.otlp.dialects.judgment import JUDGMENT
from schemas.otlp.dialects.langsmith import LANGSMITH
from schemas.otlp.dialects.logfire import LOGFIRE
from schemas.otlp.dialects.otel import OTEL
from schemas.otlp.dialects.table import Dialect, Source
from schemas.otlp.dialects.vedette import VEDETTE

DIALECTS: tuple[Dialect, ...] = (VEDETTE, JUDGMENT, LANGSMITH, LOGFIRE, GEN_AI, GEN_AI_1_36, OTEL)
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
    "az.ai.openai": "azure.ai.openai",
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
