"""Which setting of which instrumentation supplies a field: data, by dialect.

Each name below stands in the documentation or the source of the instrumentation: OpenTelemetry's opentelemetry-util-genai and
opentelemetry-instrumentation-openai-v2, OpenInference's trace configuration, OpenLLMetry's privacy page, Langfuse's
environment_variables.py, the AI SDK's telemetry-settings.ts, Pydantic AI's InstrumentationSettings, LangSmith's and Claude Code's
lists of environment variables, judgeval's `observe`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Supply:
    """What to set in an agent so that its spans have a field."""

    input: str
    output: str
    tool: str = ""
    """for the arguments and the result of a tool; empty: as for input and output"""
    cost: str = (
        "put `gen_ai.usage.cost` (US dollars) on the span, or its model, provider and tokens, from which it is priced"
    )
    tokens: str = "put `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens` on the span"


_GEN_AI = (
    "content is off by default: set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only and "
    "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental in the agent"
)

OTHER = Supply(
    input="the instrumentation must capture content (`gen_ai.input.messages` or `vedette.input`); "
    "narrow `online.filter` (kind, agent, span) to spans that have it",
    output="the instrumentation must capture content (`gen_ai.output.messages` or `vedette.output`); "
    "narrow `online.filter` (kind, agent, span) to spans that have it",
    tool="put `gen_ai.tool.call.arguments` and `gen_ai.tool.call.result` on the tool's span",
)
"""For a span whose dialect is not listed."""

_VERCEL = Supply(
    input="leave `recordInputs` on (the default) in `experimental_telemetry: { isEnabled: true, recordInputs: true }` of the call",
    output="leave `recordOutputs` on (the default) in `experimental_telemetry: { isEnabled: true, recordOutputs: true }` of the call",
    tokens="the AI SDK puts tokens on `ai.*.doGenerate` and `doStream` spans; narrow `online.filter` to kind llm",
)

_PYDANTIC_AI = Supply(
    input="leave `InstrumentationSettings(include_content=True)` (the default) of the agent",
    output="leave `InstrumentationSettings(include_content=True)` (the default) of the agent",
)

SUPPLIES: Mapping[str, Supply] = {
    "": OTHER,
    "otel-genai": Supply(input=_GEN_AI, output=_GEN_AI),
    "vedette": Supply(
        input="leave `record_input` on in `@observe`, or put `vedette.input` on the span",
        output="leave `record_output` on in `@observe`, or put `vedette.output` on the span",
        cost="put `vedette.usage.cost_usd` on the span, or `vedette.model`, `vedette.provider` and the tokens",
        tokens="put `vedette.usage.input_tokens` and `vedette.usage.output_tokens` on the span",
    ),
    "judgeval": Supply(
        input="leave `record_input` on in judgeval's `observe`, or call `set_input` inside the span",
        output="leave `record_output` on in judgeval's `observe`, or call `set_output` inside the span",
        cost="wrap the provider's client with judgeval's `wrap`, or call `recordLLMMetadata` with `total_cost_usd`",
        tokens="wrap the provider's client with judgeval's `wrap`, or call `recordLLMMetadata` with the tokens",
    ),
    "langsmith": Supply(
        input="unset LANGSMITH_HIDE_INPUTS (`Client(hide_inputs=...)`) in the agent",
        output="unset LANGSMITH_HIDE_OUTPUTS (`Client(hide_outputs=...)`) in the agent",
    ),
    "logfire": Supply(
        input="a span of one's own has none: put `gen_ai.input.messages` on it, or narrow `online.filter` to kind llm",
        output="a span of one's own has none: put `gen_ai.output.messages` on it, or narrow `online.filter` to kind llm",
    ),
    "openinference": Supply(
        input="unset OPENINFERENCE_HIDE_INPUTS and OPENINFERENCE_HIDE_INPUT_MESSAGES (`TraceConfig(hide_inputs=...)`) in the agent",
        output="unset OPENINFERENCE_HIDE_OUTPUTS and OPENINFERENCE_HIDE_OUTPUT_MESSAGES (`TraceConfig(hide_outputs=...)`) in the agent",
        cost="put `llm.cost.total` on the span, or its model, provider and tokens, from which it is priced",
        tokens="put `llm.token_count.prompt` and `llm.token_count.completion` on the span",
    ),
    "openllmetry": Supply(
        input="set TRACELOOP_TRACE_CONTENT=true (the default) in the agent",
        output="set TRACELOOP_TRACE_CONTENT=true (the default) in the agent",
    ),
    "langfuse": Supply(
        input="unset LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED=false and leave `capture_input` on in `@observe`; "
        "see what the client's `mask` removes",
        output="unset LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED=false and leave `capture_output` on in `@observe`; "
        "see what the client's `mask` removes",
        cost="put `cost_details` on the generation, or its model and tokens, from which it is priced",
        tokens="put `usage_details` on the generation",
    ),
    "vercel": _VERCEL,
    "vercel-legacy": _VERCEL,
    "vercel-v7": _VERCEL,
    "pydantic-ai": _PYDANTIC_AI,
    "claude-code": Supply(
        input="set OTEL_LOG_USER_PROMPTS=1 in the environment of Claude Code",
        output="set OTEL_LOG_ASSISTANT_RESPONSES=1 in the environment of Claude Code",
        tool="set OTEL_LOG_TOOL_DETAILS=1 and OTEL_LOG_TOOL_CONTENT=1 in the environment of Claude Code",
    ),
}
"""By `Span.dialect`."""


def supplied_by(dialect: str, field: str, *, tool: bool = False) -> str:
    """Returns what to set so that spans of a dialect have a field: input, output, cost_usd or a number of tokens."""
    supply = SUPPLIES.get(dialect, OTHER)
    if field in ("input", "output"):
        return (tool and supply.tool) or (supply.input if field == "input" else supply.output)
    return supply.cost if field == "cost_usd" else supply.tokens
