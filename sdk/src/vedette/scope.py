"""Whose span it is: the agent, the session and the customer that stand on every span and example.

A scope travels in OpenTelemetry's context, so whatever carries that (tasks, threads, instrumentations) carries it too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, create_key, get_current

if TYPE_CHECKING:
    from vedette.core import Core

_KEY = create_key("vedette-scope")

NAME_CHARS = 200
"""that a name or an id may take; the server takes no more"""


@dataclass(slots=True)
class Trace:
    """What is told about a trace while it goes on; all scopes of the trace share it."""

    attributes: dict[str, str] = field(default_factory=dict)
    changes: int = 0

    def tell(self, **told: str) -> None:
        """Sets `session_id` or `customer_id` for the spans that are open, and for those to come."""
        self.attributes = {**self.attributes, **{f"vedette.{key}": name_text(value) for key, value in told.items()}}
        self.changes += 1


@dataclass(slots=True)
class Activation:
    """One call of an agent."""

    agent: str
    agent_id: str
    parent_agent_id: str = ""
    agent_instance: str = ""
    agent_version: str = ""
    entered: bool = False
    """whether its entry span has begun"""
    state: Any = None
    """reads the agent's attributes, when they are tracked"""
    attributes: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        told = {
            "gen_ai.agent.name": self.agent,
            "vedette.agent": self.agent,
            "vedette.agent_id": self.agent_id,
            "vedette.parent_agent_id": self.parent_agent_id,
            "vedette.agent_instance": self.agent_instance,
            "vedette.agent_version": self.agent_version,
        }
        self.attributes = {key: value for key, value in told.items() if value}


class Scope:
    """Where a piece of code runs: for which tracer, in which trace, as which agent."""

    __slots__ = ("_changes", "_told", "activation", "core", "trace")

    def __init__(self, core: Core, trace: Trace, activation: Activation | None = None) -> None:
        self.core = core
        self.trace = trace
        self.activation = activation
        self._changes = -1
        self._told: dict[str, str] = {}

    @property
    def attributes(self) -> dict[str, str]:
        """What stands on every span of this scope; not to be changed."""
        changes = self.trace.changes
        if self._changes != changes:
            own = self.activation.attributes if self.activation is not None else {}
            self._told = {**self.core.attributes, **self.trace.attributes, **own}
            self._changes = changes
        return self._told


def scope_of(context: Context | None = None) -> Scope | None:
    """Returns the scope of a context, of the current one when none is given."""
    found = (get_current() if context is None else context).get(_KEY)
    return found if isinstance(found, Scope) else None


def scope_for(core: Core, context: Context) -> Scope:
    """Returns the scope that a tracer's span begins in: the context's, or a new one."""
    found = scope_of(context)
    if found is None:
        return Scope(core, Trace())
    return found if found.core is core else Scope(core, found.trace, found.activation)


def in_scope(scope: Scope, context: Context) -> Context:
    """Returns the context with a scope in it."""
    return context if context.get(_KEY) is scope else Context({**context, _KEY: scope})


def name_text(value: object) -> str:
    r"""Returns a name or an id as the server takes it: at most 200 characters, none of them a control character.

    >>> name_text("cust\n7")
    'cust 7'
    """
    text = value if isinstance(value, str) else str(value)
    text = text[:NAME_CHARS]
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if ord(char) < 32 or ord(char) == 127 else char for char in text.encode("utf-8", "replace").decode()
    )
