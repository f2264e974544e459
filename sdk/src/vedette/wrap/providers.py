"""Who answers a client: by the address that it calls, else by the library that it comes from."""

from typing import Any

from vedette.wrap.look import Attributes, look

HOSTS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.groq.com": "groq",
    "together.xyz": "together",
    "together.ai": "together",
    "openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.com": "cohere",
    "api.cohere.ai": "cohere",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
}
"""hosts, or the ends of their names"""
CLASSES = {"Azure": "azure.ai.openai", "Bedrock": "aws.bedrock", "Vertex": "gcp.vertex_ai"}
"""what the names of clients for a cloud contain"""


def provider_of(client: Any) -> Attributes:
    """Returns provider and address as attributes. An address that nobody knows is a gateway: the library names the provider."""
    host, port = look(client, "base_url", "host"), look(client, "base_url", "port")
    host = host if isinstance(host, str) else ""
    return {
        "gen_ai.provider.name": _by_host(host) or _by_class(type(client)),
        **({"server.address": host} if host else {}),
        **({"server.port": port} if isinstance(port, int) else {}),
    }


def _by_host(host: str) -> str | None:
    return next((name for known, name in HOSTS.items() if host == known or _within(host, known)), None)


def _within(host: str, known: str) -> bool:
    """Regional hosts of Google's have a dash before the common name, all others a dot."""
    return host.endswith((f".{known}", f"-{known}"))


def _by_class(kind: type) -> str:
    by_name = (name for part, name in CLASSES.items() if part in kind.__name__)
    library = next((base for base in reversed(kind.__mro__) if base.__name__.endswith("APIClient")), kind)
    return next(by_name, library.__module__.partition(".")[0])
