"""Which agent is at work: each call of an `@agent()` function is one activation, with an id and a parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context, get_current

from vedette.calls import Unwatched
from vedette.core import Core, tell
from vedette.freeze import Frozen, freeze
from vedette.ids import uuid7
from vedette.scope import Activation, Scope, in_scope, name_text, scope_for


@dataclass(frozen=True)
class Agent:
    """Begins an activation at each call of one function."""

    core: Core
    name: str
    """empty: the class of the object whose method it is, else the function's name"""
    function_name: str
    is_method: bool
    version: str = ""
    identifier: str = ""
    tracked: Sequence[str] | None = None
    """the attributes of the object that are its state; None: none are tracked, empty: all public ones"""
    shown_as: Mapping[str, str] | None = None

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Activated | None:
        """Starts an activation whose parent is the enclosing one."""
        del kwargs
        try:
            outer = get_current()
            scope = scope_for(self.core, outer)
            owner = args[0] if self.is_method and args else None
            activation = Activation(
                agent=name_text(self.name or _class_name(owner) or self.function_name),
                agent_id=uuid7(),
                parent_agent_id=scope.activation.agent_id if scope.activation is not None else "",
                agent_instance=self._instance(owner),
                agent_version=name_text(self.version),
                state=None if self.tracked is None or owner is None else lambda: self._state(owner),
            )
            return Activated(in_scope(Scope(self.core, scope.trace, activation), outer))
        except Exception as error:
            self.core.trouble("an agent's activation could not be noted", error)
            return None

    def _instance(self, owner: Any) -> str:
        if not self.identifier:
            return ""
        found = getattr(owner, self.identifier, None)
        if found is None or callable(found):
            tell(
                "agent(identifier=%r): %s has no such attribute; its instances stay without a name",
                self.identifier,
                _class_name(owner),
            )
            return ""
        return name_text(str(freeze(found)))

    def _state(self, owner: Any) -> dict[str, Any]:
        held = _held(owner)
        names = self.tracked or [name for name in held if not name.startswith("_")]
        shown = self.shown_as or {}
        return Frozen().mapping({shown.get(name, name): held[name] for name in names if name in held})


class Activated(Unwatched):
    """A call of an agent that has begun: its context names the agent, its spans tell the rest."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def context(self) -> Context:
        """Names the agent."""
        return self._context


def _class_name(owner: Any) -> str:
    if owner is None:
        return ""
    return owner.__name__ if isinstance(owner, type) else type(owner).__name__


def _held(owner: Any) -> dict[str, Any]:
    """The attributes of an object, read without running its code."""
    try:
        return dict(object.__getattribute__(owner, "__dict__"))
    except AttributeError:
        pass
    slots = [name for kind in type(owner).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: object.__getattribute__(owner, name) for name in slots if _has(owner, name)}


def _has(owner: Any, name: str) -> bool:
    try:
        object.__getattribute__(owner, name)
    except AttributeError:
        return False
    return True
