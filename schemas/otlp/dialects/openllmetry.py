"""OpenLLMetry, the instrumentations of Traceloop and its SDK: `traceloop.*` beside GenAI's names, up to 0.4 instead of them."""

from schemas.otlp.dialects.table import Dialect

_FRAMEWORKS = frozenset({"langchain", "langgraph", "crewai", "llamaindex", "haystack", "mcp"})

OPENLLMETRY = Dialect(
    name="openllmetry",
    markers=(
        "traceloop.span.kind",
        "traceloop.workflow.name",
        "traceloop.entity.name",
        "traceloop.association.properties.session_id",
        "llm.request.type",
    ),
    scopes=("traceloop.tracer",),
    fields={
        "agent": ("traceloop.association.properties.lc_agent_name",),
        "agent_version": ("traceloop.entity.version",),
        "entity": ("traceloop.entity.name",),
        "session_id": (
            "traceloop.association.properties.session_id",
            "traceloop.association.properties.conversation_id",
            "traceloop.association.properties.thread_id",
        ),
        "customer_id": (
            "traceloop.association.properties.customer_id",
            "traceloop.association.properties.user_id",
            "llm.user",
        ),
        "operation": ("llm.request.type",),
        "tags": ("traceloop.association.properties.tags",),
        "input_messages": ("gen_ai.prompt.0.role", "gen_ai.prompt.0.content"),
        "output_messages": ("gen_ai.completion.0.role", "gen_ai.completion.0.content"),
        "input": ("traceloop.entity.input", "gen_ai.task.input"),
        "output": ("traceloop.entity.output", "gen_ai.task.output"),
    },
    kinds={
        "traceloop.span.kind": {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"},
        "llm.request.type": {"chat": "llm", "completion": "llm", "embedding": "retriever", "rerank": "retriever"},
    },
    placeholders={"gen_ai.provider.name": _FRAMEWORKS, "gen_ai.system": _FRAMEWORKS},
)
